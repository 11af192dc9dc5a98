"""The ManiCM algorithm: who gets which gradient, what the target follows, and what acting costs."""

import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.policies.factory import make_policy
from lerobot_commands import REPO_ID

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy
from lerobot_sdm.policies.manicm.configuration_manicm import ManiCMConfig
from lerobot_sdm.policies.manicm.modeling_manicm import ManiCMPolicy


@pytest.fixture
def build(dataset, teacher):
    """A student in training, as `lerobot-train` builds it."""

    def make(**kwargs) -> ManiCMPolicy:
        config = ManiCMConfig(teacher_path=str(teacher), device="cpu", push_to_hub=False, **kwargs)
        return make_policy(config, ds_meta=LeRobotDatasetMetadata(REPO_ID, root=dataset)).train()

    return make


def batch(size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "observation.state": torch.rand(size, 2, 9, generator=generator),
        "observation.point_cloud": torch.rand(size, 2, 12, 3, generator=generator),
        "action": torch.rand(size, 8, 4, generator=generator) - 0.5,
    }


def step(policy: ManiCMPolicy, optimizer: torch.optim.Optimizer) -> None:
    loss, _ = policy.forward(batch())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    policy.update()


def test_untrained_student_is_the_teachers_one_step_read_out(build, teacher):
    student = build().eval()
    read_out = DP3Policy.from_pretrained(teacher)
    read_out.config.num_inference_steps = 1
    noise = torch.randn(4, 8, 4)
    # Up to c_skip(99) = 2.6e-7 of the start noise.
    torch.testing.assert_close(
        student.sample_actions(batch(), noise), read_out.sample_actions(batch(), noise), atol=1e-5, rtol=1e-5
    )


def test_only_the_students_denoiser_gets_a_gradient(build):
    student = build()
    loss, _ = student.forward(batch())
    loss.backward()
    assert all(p.grad is not None for p in student.model.unet.parameters())
    silent = [
        *student.target.parameters(),
        *student.teacher.parameters(),
        *student.model.obs_encoder.parameters(),
    ]
    assert all(p.grad is None for p in silent)


def test_target_follows_with_its_own_decay(build):
    student = build(target_ema_decay=0.75)
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    before = [p.clone() for p in student.target.parameters()]
    step(student, optimizer)
    for old, now, new in zip(before, student.target.parameters(), student.model.unet.parameters(), strict=True):
        torch.testing.assert_close(now, 0.75 * old + 0.25 * new)
    assert any(not torch.equal(old, now) for old, now in zip(before, student.target.parameters(), strict=True))


def test_a_published_student_goes_on_with_a_target_like_itself(build, tmp_path):
    """Its training state is not on the Hub, and the teacher has been left behind."""
    student = build()
    with torch.no_grad():
        for parameter in student.model.denoiser.parameters():
            parameter.add_(1.0)
    student.load_training_state(tmp_path / "missing.safetensors")
    for name, value in student.target.state_dict().items():
        torch.testing.assert_close(value, student.model.denoiser.state_dict()[name])


@pytest.mark.parametrize(("steps", "visited"), [(1, [99]), (2, [99, 49]), (4, [99, 79, 49, 29])])
def test_network_evaluations_are_the_inference_steps(build, steps, visited, monkeypatch):
    student = build(num_inference_steps=steps).eval()
    seen, denoise = [], student.inference_model.denoise
    monkeypatch.setattr(
        student.inference_model, "denoise", lambda x, t, cond: seen.append(t[0].item()) or denoise(x, t, cond)
    )
    with count_calls(student.denoiser) as counter:
        student.predict_action_chunk(batch())
    assert counter.calls == steps
    assert seen == visited


def test_levels_begin_where_acting_begins(build):
    assert build().timesteps == list(range(99, 0, -10))
    assert build(start_timestep=59, solver_levels=4).timesteps == [59, 44, 29, 14]


def test_the_same_step_of_a_run_sees_the_same_noise(build):
    student = build()
    first, again = student.forward(batch())[0], student.forward(batch())[0]
    assert torch.equal(first, again)
    student.train_step += 1
    assert not torch.equal(student.forward(batch())[0], first)


def test_released_settings_run(build):
    student = build(
        solver_noise="released", loss_delta=None, use_ema=False, student_lr=5e-5, optimizer_betas=(0.95, 0.999)
    )
    optimizer = student.config.get_optimizer_preset().build(student.get_optim_params())
    step(student, optimizer)
    assert student.inference_model is student.model


@pytest.mark.parametrize(
    ("wrong", "offender"),
    [
        ({"num_inference_steps": 5}, r"num_inference_steps=5.*1 \.\.\. 4"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"num_inference_steps": 3, "solver_levels": 2}, r"num_inference_steps=3.*1 \.\.\. 2"),
        ({"start_timestep": 100}, "start_timestep=100"),
        ({"solver_levels": 0, "num_inference_steps": 1}, "solver_levels=0: must lie in 1"),
        ({"solver_levels": 30, "start_timestep": 20}, "solver_levels=30"),
        ({"solver_noise": "none"}, "solver_noise: 'none'"),
        ({"loss_delta": 0.0}, "loss_delta=0.0"),
        ({"target_ema_decay": 1.0}, r"target_ema_decay=1\.0"),
        ({"horizon": 4}, "horizon=4.*has 8"),
    ],
)
def test_contradictions_are_refused_by_name(build, wrong, offender):
    with pytest.raises(InputError, match=offender):
        build(**wrong)
