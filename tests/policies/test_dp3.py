"""The DP3 policy: acting, conditioning, clouds, and refusals."""

import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from test_one_step import NoiseOfOneStep

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy
from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.processors.point_cloud_step import PointCloudProcessorStep

SMALL = {"down_dims": (8, 16, 16), "blocks_per_level": 1, "encoder_hidden_dims": (8, 16), "device": "cpu"}
STATE, CLOUD = "observation.state", "observation.point_cloud"


MIXER = {"down_dims": (512, 1024, 2048), "blocks_per_level": 2, "backbone": "mixer"}
"""Replaces the U-Net of `SMALL`."""


def config(channels: int = 3, points: int = 20, cloud_key: str = CLOUD, **kwargs) -> DP3Config:
    return DP3Config(
        input_features={
            STATE: PolicyFeature(FeatureType.STATE, (5,)),
            cloud_key: PolicyFeature(FeatureType.STATE, (points, channels)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (3,))},
        **{**SMALL, **kwargs},
    )


def policy(**kwargs) -> DP3Policy:
    torch.manual_seed(0)
    return DP3Policy(config(**kwargs)).eval()


def batch(size: int = 2, frames: int | None = 2, channels: int = 3, points: int = 20) -> dict[str, torch.Tensor]:
    lead = (size,) if frames is None else (size, frames)
    generator = torch.Generator().manual_seed(1)
    return {
        STATE: torch.randn(*lead, 5, generator=generator),
        CLOUD: torch.randn(*lead, points, channels, generator=generator),
    }


def test_chunk_is_the_executed_part_of_the_sampled_sequence():
    p, noise = policy(), torch.randn(2, 16, 3)
    whole = p.sample_actions(batch(), noise)
    assert whole.shape == (2, 16, 3)
    torch.testing.assert_close(p.predict_action_chunk(batch(), noise=noise), whole[:, 1:9])


def test_actions_are_planned_once_per_chunk_from_the_last_two_frames(monkeypatch):
    p = policy(n_action_steps=3)
    encoded, encode = [], p.model.encode_frames
    monkeypatch.setattr(p.model, "encode_frames", lambda b: encoded.append(b[STATE][:, 0, 0].tolist()) or encode(b))
    frames = [batch(frames=None) for _ in range(4)]
    for i, frame in enumerate(frames):
        frame[STATE] = torch.full_like(frame[STATE], float(i))
        assert p.select_action(frame).shape == (2, 3)
    # Two environments: the first frame, which stands for its missing history, then the last two frames.
    assert encoded == [[0.0, 0.0], [2.0, 2.0, 3.0, 3.0]]
    p.reset()
    p.select_action(frames[0])
    assert encoded[2] == [0.0, 0.0]


def test_one_inference_step_is_the_read_out_at_the_noisiest_level():
    p = policy(num_inference_steps=1)
    noise = torch.randn(2, 16, 3)
    cond = p.model.encode(batch())
    expected = p.model.unet(noise, torch.full((2,), 99), global_cond=cond).clamp(-1, 1)
    torch.testing.assert_close(p.sample_actions(batch(), noise), expected)


def test_a_mixer_takes_any_horizon():
    """One that no U-Net of three levels could have."""
    p, noise = policy(**MIXER, horizon=7, n_action_steps=3), torch.randn(2, 7, 3)
    assert p.sample_actions(batch(), noise).shape == (2, 7, 3)


@pytest.mark.parametrize(
    ("override", "offender"),
    [
        ("--horizon=12", r"^--policy\.horizon=12: this policy is a mixer of chunks of 16 steps"),
        ("--backbone=unet", r"^--policy\.backbone=unet: the weights in .* are those of the backbone 'mixer'"),
    ],
)
def test_a_trained_mixer_keeps_its_horizon_and_its_kind(tmp_path, override, offender):
    policy(**MIXER).save_pretrained(tmp_path)
    config = PreTrainedConfig.from_pretrained(tmp_path, cli_overrides=[override])
    with pytest.raises(InputError, match=offender):
        DP3Policy.from_pretrained(tmp_path, config=config)


def test_a_trained_unet_does_not_become_a_mixer(tmp_path):
    policy().save_pretrained(tmp_path)
    overrides = ["--backbone=mixer", "--down_dims=[512,1024,2048]", "--blocks_per_level=2"]
    config = PreTrainedConfig.from_pretrained(tmp_path, cli_overrides=overrides)
    with pytest.raises(InputError, match=r"^--policy\.backbone=mixer: .* are those of the backbone 'unet'"):
        DP3Policy.from_pretrained(tmp_path, config=config)


def test_clouds_with_more_channels_than_the_policy_uses_are_sliced():
    p, noise = policy(), torch.randn(2, 16, 3)
    colored = batch(channels=6)
    plain = {**colored, CLOUD: colored[CLOUD][..., :3]}
    torch.testing.assert_close(p.sample_actions(colored, noise), p.sample_actions(plain, noise))


def test_color_is_used_when_asked_for():
    p, noise = policy(channels=6, use_color=True), torch.randn(2, 16, 3)
    colored = batch(channels=6)
    gray = {**colored, CLOUD: torch.cat([colored[CLOUD][..., :3], torch.zeros(2, 2, 20, 3)], -1)}
    assert not torch.allclose(p.sample_actions(colored, noise), p.sample_actions(gray, noise))


def test_n_points_keeps_a_prefix():
    p, noise = policy(n_points=8), torch.randn(2, 16, 3)
    full = batch()
    other_tail = {**full, CLOUD: torch.cat([full[CLOUD][:, :, :8], torch.randn(2, 2, 12, 3)], 2)}
    torch.testing.assert_close(p.sample_actions(full, noise), p.sample_actions(other_tail, noise))


def test_training_noise_depends_on_seed_step_and_nothing_else():
    p = policy()
    draw = lambda: torch.randn(4, generator=p.training_noise_generator(torch.device("cpu")))  # noqa: E731
    first = draw()
    torch.randn(100)  # the global generator moves on
    assert torch.equal(draw(), first)
    p.train_step += 1
    assert not torch.equal(draw(), first)


def test_masked_loss_ignores_padded_actions():
    p = DP3Policy(config(do_mask_loss_for_padding=True), dataset_meta=object())
    padded = torch.zeros(2, 16, dtype=torch.bool)
    padded[:, 8:] = True
    actions, other = torch.zeros(2, 16, 3), torch.full((2, 16, 3), 0.5)
    mask = padded.unsqueeze(-1)

    def loss(actions: torch.Tensor) -> float:
        # The network itself does not see the padded actions.
        with NoiseOfOneStep(p, 8):
            return p.forward({**batch(), "action": actions, "action_is_pad": padded})[0].item()

    assert loss(torch.where(mask, other, actions)) == pytest.approx(loss(actions), rel=1e-6)
    assert loss(torch.where(mask, actions, other)) != pytest.approx(loss(actions), rel=1e-2)


def test_colored_data_normalize_into_a_policy_without_color():
    stats = {
        key: {"min": torch.full((n,), -2.0).numpy(), "max": torch.full((n,), 2.0).numpy()}
        for key, n in ((STATE, 5), (CLOUD, 6), ("action", 3))
    }
    cfg = config(channels=6)
    cfg.validate_features()
    pre, post = make_dp3_pre_post_processors(cfg, stats)
    out = pre({STATE: torch.ones(2, 5), CLOUD: torch.ones(2, 20, 6), "action": torch.ones(2, 3)})
    assert out[CLOUD].shape == (2, 20, 3)
    torch.testing.assert_close(out[CLOUD], torch.full((2, 20, 3), 0.5))
    torch.testing.assert_close(post(out["action"]), torch.ones(2, 3))


def test_the_other_cloud_key_is_accepted():
    cfg = config(cloud_key="observation.pointcloud")
    cfg.validate_features()
    assert CLOUD in cfg.input_features
    step = PointCloudProcessorStep(channels=3)
    out = step.observation({"observation.pointcloud": torch.ones(20, 6)})
    assert out.keys() == {CLOUD}
    assert out[CLOUD].shape == (1, 20, 3)


@pytest.mark.parametrize(
    ("wrong", "offender"),
    [
        ({"horizon": 6}, r"horizon=6.*multiple of 4"),
        ({"n_action_steps": 16}, r"n_action_steps=16.*1 \.\.\. 15"),
        ({"blocks_per_level": 3}, "blocks_per_level=3"),
        ({"down_dims": (12, 16)}, "n_groups=8"),
        ({"down_dims": ()}, r"down_dims=\[\]: must name at least one level"),
        ({"diffusion_step_embed_dim": 2}, "diffusion_step_embed_dim=2: must be even and at least 4"),
        ({"diffusion_step_embed_dim": 33}, "diffusion_step_embed_dim=33: must be even and at least 4"),
        ({"n_points": 0}, "n_points=0"),
        ({"timestep_spacing": "odd"}, "timestep_spacing=odd"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"inference_start_timestep": 100}, r"inference_start_timestep=100: must lie in 0 \.\.\. 99"),
        ({"inference_start_timestep": 4}, r"num_inference_steps=10: must lie in 1 \.\.\. 5 from"),
        (
            {"inference_start_timestep": 50, "timestep_spacing": "leading"},
            "inference_start_timestep=50: only --policy.timestep_spacing=trailing",
        ),
        ({"beta_start": 0.03}, r"beta_start=0\.03, --policy\.beta_end=0\.02"),
        ({"n_obs_steps": 0}, "n_obs_steps=0"),
        ({"backbone": "transformer"}, "--policy.backbone: 'transformer' is not known. Known: mixer, unet"),
        ({"backbone": "mixer"}, r"down_dims=\[8, 16, 16\]: is a setting of the backbone 'unet'"),
        ({"mixer_depth": 4}, r"mixer_depth=4: is a setting of the backbone 'mixer', and this policy's is 'unet'"),
        ({**MIXER, "mixer_width": 0}, "mixer_width=0: must lie in 1"),
        ({**MIXER, "mixer_depth": 10**6}, "mixer_depth=1000000: must lie in 1"),
        ({**MIXER, "n_action_steps": 16}, r"n_action_steps=16.*1 \.\.\. 15"),
    ],
)
def test_impossible_settings_are_refused_by_name(wrong, offender):
    with pytest.raises(InputError, match=offender):
        config(**wrong)


@pytest.mark.parametrize(
    ("kwargs", "removed", "offender"),
    [
        ({}, CLOUD, "no 'observation.point_cloud'.*lerobot-sdm record"),
        ({}, STATE, "observation.state"),
        ({"use_color": True}, None, "use_color"),
        ({"n_points": 30}, None, "n_points=30.*20 points"),
    ],
)
def test_data_that_do_not_fit_are_refused(kwargs, removed, offender):
    cfg = config(**kwargs)
    cfg.input_features.pop(removed, None)
    with pytest.raises(InputError, match=offender):
        DP3Policy(cfg)


@pytest.mark.parametrize(
    ("key", "shape", "offender"),
    [
        ("action", (8, 7), r"'action' has shape \(8, 7\) in the dataset, which is a matrix: dp3 .*\(56,\)"),
        ("action", (), r"'action' has shape \(\) in the dataset, which is no vector"),
        (STATE, (1, 7), r"'observation\.state' has shape \(1, 7\) in the dataset, which is a matrix.*\(7,\)"),
        (CLOUD, (3, 64), r"'observation\.point_cloud' has shape \(3, 64\) in the dataset.*on its side.*swap"),
        (CLOUD, (6, 1024), r"'observation\.point_cloud' has shape \(6, 1024\) in the dataset.*on its side"),
        (CLOUD, (64,), r"'observation\.point_cloud': shape \(64,\) is not \(points, channels >= 3\)"),
    ],
)
def test_columns_of_other_axes_are_named_as_such(key, shape, offender):
    cfg = config()
    features = cfg.output_features if key == "action" else cfg.input_features
    features[key] = PolicyFeature(features[key].type, shape)
    with pytest.raises(InputError, match=offender):
        cfg.validate_features()


def test_wrong_number_of_frames_is_refused():
    with pytest.raises(InputError, match="n_obs_steps=2"):
        policy().sample_actions(batch(frames=3))
