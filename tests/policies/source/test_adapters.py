"""LeRobot's `diffusion` behind the teacher interface: conditions, estimates and samples, against LeRobot itself."""

import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.source.adapters import ADAPTERS, adapter_for
from lerobot_sdm.policies.source.description import configuration, describe

STATE, KEYPOINTS, LEFT, RIGHT = (
    f"observation.{name}" for name in ("state", "environment_state", "images.l", "images.r")
)
VECTORS = {STATE: PolicyFeature(FeatureType.STATE, (3,)), KEYPOINTS: PolicyFeature(FeatureType.ENV, (5,))}
CAMERAS = {key: PolicyFeature(FeatureType.VISUAL, (3, 48, 48)) for key in (LEFT, RIGHT)}


def config(features=VECTORS, **kwargs) -> DiffusionConfig:
    return DiffusionConfig(
        device="cpu",
        input_features=dict(features),
        output_features={"action": PolicyFeature(FeatureType.ACTION, (2,))},
        **{
            "horizon": 8,
            "n_action_steps": 4,
            "down_dims": (8, 16),
            "diffusion_step_embed_dim": 16,
            "pretrained_backbone_weights": None,
            "crop_shape": (40, 40) if LEFT in features else None,
            **kwargs,
        },
    )


def observations(features, size: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {key: torch.rand(size, 2, *feature.shape, generator=generator) for key, feature in features.items()}


def both(settings: DiffusionConfig) -> tuple[DiffusionPolicy, torch.nn.Module]:
    """LeRobot's policy, and the backbone with its weights; the backbone made from the description alone."""
    torch.manual_seed(0)
    policy = DiffusionPolicy(settings).eval()
    network = adapter_for("diffusion").network(configuration(describe(settings), "cpu"))
    network.load_state_dict(policy.state_dict())
    return policy, network.eval()


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample"])
@pytest.mark.parametrize("clip", [True, False])
def test_deterministic_samples_are_lerobots(prediction_type, clip):
    settings = config(
        prediction_type=prediction_type, noise_scheduler_type="DDIM", num_inference_steps=10, clip_sample=clip
    )
    policy, network = both(settings)
    batch, noise = observations(VECTORS), torch.randn(2, 8, 2)
    cond = network.encode(batch)
    with torch.no_grad():
        expected = policy.diffusion.conditional_sample(2, global_cond=cond, noise=noise)
        found = network.sample(noise, cond)
    assert network.sampler_timesteps() == policy.diffusion.noise_scheduler.timesteps.tolist()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(
    "features",
    [VECTORS, {**CAMERAS, STATE: VECTORS[STATE]}, {**CAMERAS, **VECTORS}],
    ids=["keypoints", "images", "both"],
)
@pytest.mark.parametrize("separate", [True, False])
def test_conditions_are_lerobots(features, separate):
    if separate and LEFT not in features:
        pytest.skip("no cameras, no encoders")
    policy, network = both(config(features, use_separate_rgb_encoder_per_camera=separate))
    batch = observations(features)
    seen = {}
    policy.diffusion.conditional_sample = lambda size, global_cond, noise: seen.update(cond=global_cond) or noise
    policy.predict_action_chunk(batch, noise=torch.zeros(2, 8, 2))
    with torch.no_grad():
        cond = network.encode(batch)
    torch.testing.assert_close(cond, seen["cond"])
    assert cond.shape == (2, network.cond_dim)


def test_in_training_crops_are_random_and_batch_statistics_rest():
    _, network = both(config({**CAMERAS, STATE: VECTORS[STATE]}))
    before = {name: value.clone() for name, value in network.named_buffers()}
    batch = observations({**CAMERAS, STATE: VECTORS[STATE]})
    centered = network.encode(batch)
    network.train()
    torch.manual_seed(0)
    crops = [network.encode(batch) for _ in range(4)]
    assert any(not torch.allclose(crop, centered) for crop in crops)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())
    network.eval()
    torch.testing.assert_close(network.encode(batch), centered)


def test_a_single_frame_of_a_video_may_lack_the_dimension_of_time():
    features = {**CAMERAS, STATE: VECTORS[STATE]}
    _, network = both(config(features, n_obs_steps=1))
    batch = {key: value[:, :1] for key, value in observations(features).items()}
    squeezed = {key: value if key == STATE else value[:, 0] for key, value in batch.items()}
    torch.testing.assert_close(network.encode(squeezed), network.encode(batch))


def test_weights_of_a_compiled_network_are_recognized(tmp_path):
    from safetensors.torch import save_file

    _, network = both(config())
    compiled = {name.replace("unet.", "unet._orig_mod."): value for name, value in network.state_dict().items()}
    save_file(compiled, tmp_path / "model.safetensors")
    network.load_state_dict(adapter_for("diffusion").weights(tmp_path / "model.safetensors"))


def test_a_description_leaves_out_where_the_teacher_ran():
    settings = config(compile_model=False, prediction_type="sample")
    settings.repo_id, settings.tags = "somebody/robot", ["private"]
    description = describe(settings)
    assert not {"device", "repo_id", "tags", "optimizer_lr", "pretrained_path"} & description.keys()
    again = configuration(description, "cpu")
    assert (again.horizon, again.prediction_type, again.down_dims) == (8, "sample", (8, 16))
    assert again.input_features == settings.input_features


def test_a_missing_camera_is_named():
    settings = config({**CAMERAS, STATE: VECTORS[STATE]})
    with pytest.raises(InputError, match=r"images\.r.*teacher's cameras"):
        adapter_for("diffusion").keep_features(settings, {LEFT: CAMERAS[LEFT], STATE: VECTORS[STATE]})


def test_what_the_teacher_does_not_see_is_left_out():
    kept = adapter_for("diffusion").keep_features(config(), {**CAMERAS, **VECTORS})
    assert kept == VECTORS


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_every_type_has_an_adapter(kind):
    assert type(adapter_for(kind)).__mro__[1].__name__ == "Adapter"


def test_wrong_number_of_frames_is_refused():
    _, network = both(config())
    with pytest.raises(InputError, match="n_obs_steps=2"):
        network.encode({key: value[:, :1] for key, value in observations(VECTORS).items()})
