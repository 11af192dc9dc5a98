"""The U-Net with a stop time: it begins as its teacher, and dropout is where it should be."""

import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature

from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.temporal_unet import StopTimeUnet, TemporalUnet, widen_for_stop_time
from lerobot_sdm.policies.edm.configuration_edm import EdmConfig

STEP, COND = 16, 10


def config(**kwargs) -> EdmConfig:
    return EdmConfig(
        device="cpu",
        output_features={"action": PolicyFeature(FeatureType.ACTION, (3,))},
        **{"down_dims": (8, 16), "diffusion_step_embed_dim": STEP, "horizon": 8, "n_action_steps": 4, **kwargs},
    )


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(3, 8, 3), torch.tensor([-978.0, 0.0, 1095.0]), torch.randn(3, COND)


@pytest.mark.parametrize("blocks", [1, 2])
def test_warm_start_gives_what_the_teacher_gives_whatever_the_stop_time(blocks):
    teacher = TemporalUnet(config(blocks_per_level=blocks), COND)
    student = StopTimeUnet(config(blocks_per_level=blocks), COND)
    student.load_state_dict(widen_for_stop_time(teacher.state_dict(), STEP, COND))
    x, t, cond = inputs()
    for stop in (t, torch.full_like(t, -978.0), torch.zeros_like(t)):
        torch.testing.assert_close(student(x, t, stop, global_cond=cond), teacher(x, t, global_cond=cond))


def test_the_stop_time_is_heard_once_its_columns_are_not_zero():
    x, t, cond = inputs()
    student = StopTimeUnet(config(), COND)
    assert not torch.allclose(student(x, t, t, global_cond=cond), student(x, t, t - 100, global_cond=cond))


def test_zero_columns_learn_from_the_first_step_on():
    student = StopTimeUnet(config(), COND)
    student.load_state_dict(widen_for_stop_time(TemporalUnet(config(), COND).state_dict(), STEP, COND))
    x, t, cond = inputs()
    student(x, t, t - 100, global_cond=cond).square().mean().backward()
    film = student.down_modules[0][0].cond_encoder[1].weight.grad
    assert film[:, STEP : 2 * STEP].abs().sum() > 0


@pytest.mark.parametrize(("step", "cond"), [(STEP + 4, COND), (STEP, COND + 1)])
def test_film_columns_that_do_not_fit_are_refused(step, cond):
    with pytest.raises(InputError, match=f"{STEP + COND} columns.*{step}.*diffusion_step_embed_dim.*{cond}"):
        widen_for_stop_time(TemporalUnet(config(), COND).state_dict(), step, cond)


def test_a_network_without_film_is_refused():
    with pytest.raises(InputError, match="no FiLM"):
        widen_for_stop_time(torch.nn.Linear(2, 2).state_dict(), STEP, COND)


def test_dropout_works_in_training_alone_and_keeps_the_names_of_weights():
    plain, dropped = TemporalUnet(config(), COND), TemporalUnet(config(), COND)
    dropped.add_dropout(0.5, None)
    dropped.load_state_dict(plain.state_dict())
    x, t, cond = inputs()
    torch.testing.assert_close(dropped.eval()(x, t, global_cond=cond), plain(x, t, global_cond=cond))
    dropped.train()
    assert not torch.allclose(dropped(x, t, global_cond=cond), dropped(x, t, global_cond=cond))


def test_middle_blocks_may_have_a_rate_of_their_own():
    unet = TemporalUnet(config(), COND)
    unet.add_dropout(0.0, 0.2)
    dropouts = [name for name, module in unet.named_modules() if isinstance(module, torch.nn.Dropout)]
    assert dropouts == ["mid_modules.0.conv1.block.3", "mid_modules.1.conv1.block.3"]
