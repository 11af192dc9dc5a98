"""The EDM policy: acting under every kind of observation, its sampler, and refusals."""

import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from observation_kinds import CAMERAS, CLOUD, KEYPOINTS, KINDS, SMALL, STATE, batch, feature_options

from lerobot_sdm.diffusion.karras import SAMPLERS
from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.policies.edm.configuration_edm import EdmConfig
from lerobot_sdm.policies.edm.modeling_edm import EdmPolicy


def config(kind: str = "keypoints", **kwargs) -> EdmConfig:
    return EdmConfig(
        **feature_options(kind),
        **{"horizon": 8, "n_action_steps": 4, "num_inference_steps": 3, **SMALL, **kwargs},
    )


def policy(kind: str = "keypoints", training: bool = False, **kwargs) -> EdmPolicy:
    torch.manual_seed(0)
    return EdmPolicy(config(kind, **kwargs), dataset_meta=object() if training else None).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_acts_on_and_learns_from_every_kind_of_observation(kind):
    p = policy(kind, training=True, crop_shape=(64, 64))
    noise, data = torch.randn(3, 8, 2), batch(kind)
    actions = p.sample_actions(data, noise)
    assert actions.shape == (3, 8, 2)
    assert torch.equal(actions, p.sample_actions(data, noise))
    for key in data:  # every observation matters
        assert not torch.equal(actions, p.sample_actions({**data, key: data[key] + 1}, noise)), key
    p.train()
    loss, _ = p.forward({**data, "action": torch.zeros(3, 8, 2)})
    loss.backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in p.model.parameters())


def test_frames_arrive_one_by_one():
    p = policy("images and keypoints")
    for _ in range(6):
        action = p.select_action(batch("images and keypoints", frames=None))
    assert action.shape == (3, 2)


def test_a_single_frame_has_no_dimension_of_time_in_images():
    p = policy("images", n_obs_steps=1)
    data = batch("images", frames=1)
    flat = {key: value[:, 0] if key in CAMERAS else value for key, value in data.items()}
    noise = torch.randn(3, 8, 2)
    assert torch.equal(p.sample_actions(data, noise), p.sample_actions(flat, noise))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_network_evaluations_are_as_documented(sampler):
    p = policy(sampler=sampler, num_inference_steps=7)
    with count_calls(p.denoiser) as counter:
        p.sample_actions(batch())
    assert counter.calls == 7 * SAMPLERS[sampler]


def test_start_noise_is_scaled_and_actions_are_clipped():
    noise = torch.randn(3, 8, 2)
    narrow, wide = policy(), policy(initial_std=80.0)
    assert torch.equal(narrow.sample_actions(batch(), 80 * noise), wide.sample_actions(batch(), noise))
    assert wide.sample_actions(batch(), noise).abs().max() <= 1


def test_dropout_and_crops_are_repeated_with_seed_and_step():
    p = policy("images", training=True, dropout_rate=0.3, crop_shape=(64, 64)).train()
    data = {**batch("images"), "action": torch.zeros(3, 8, 2)}
    first = p.forward(data)[0].item()
    torch.randn(10)  # the global generator moves on
    assert p.forward(data)[0].item() == first
    before = torch.get_rng_state()
    p.forward(data)
    assert torch.equal(torch.get_rng_state(), before)
    p.train_step += 1
    assert p.forward(data)[0].item() != first


def test_padded_actions_do_not_teach():
    p = policy(training=True, do_mask_loss_for_padding=True)
    padded = torch.zeros(3, 8, dtype=torch.bool)
    padded[:, 4:] = True
    data = {**batch(), "action": torch.zeros(3, 8, 2), "action_is_pad": padded}
    everything = p.forward({**data, "action_is_pad": torch.zeros_like(padded)})[0].item()
    assert 0 < p.forward(data)[0].item() < everything
    assert p.forward({**data, "action_is_pad": torch.ones_like(padded)})[0].item() == 0


def test_where_there_is_a_cloud_images_are_not_used():
    cfg = config("cloud")
    cfg.input_features[CAMERAS[0]] = PolicyFeature(FeatureType.VISUAL, (1, 8, 8))
    cfg.validate_features()
    assert cfg.input_features.keys() == {STATE, CLOUD}


def test_a_policy_without_its_observation_says_so():
    with pytest.raises(InputError, match=f"'{KEYPOINTS}' is missing"):
        policy().sample_actions({STATE: torch.zeros(1, 2, 5)})


@pytest.mark.parametrize(
    ("wrong", "offender"),
    [
        ({"sampler": "hern"}, "sampler: 'hern'.*heun"),
        ({"loss_norm": "l1"}, "loss_norm: 'l1'"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"sigma_min": 0.0}, r"sigma_min=0\.0"),
        ({"sigma_max": 0.01}, r"sigma_max=0\.01"),
        ({"bins": 1}, "bins=1"),
        ({"initial_std": 0.0}, r"initial_std=0\.0"),
        ({"dropout_rate": 1.0}, r"dropout_rate=1\.0"),
        ({"vision_backbone": "vit"}, "vision_backbone=vit"),
        ({"pretrained_backbone_weights": "DEFAULT"}, "use_group_norm=false"),
        ({"horizon": 7}, "horizon=7"),
        ({"kernel_size": 4}, "kernel_size=4: must be odd"),
    ],
)
def test_impossible_settings_are_refused_by_name(wrong, offender):
    with pytest.raises(InputError, match=offender):
        config(**wrong)


@pytest.mark.parametrize(
    ("features", "kwargs", "offender"),
    [
        ({}, {}, "no 'observation.point_cloud', no image"),
        ({CAMERAS[0]: (FeatureType.VISUAL, (1, 32, 32))}, {}, r"\(1, 32, 32\).*depth_to_cloud"),
        (
            {CAMERAS[0]: (FeatureType.VISUAL, (3, 48, 48)), CAMERAS[1]: (FeatureType.VISUAL, (3, 48, 52))},
            {},
            "differs from that of",
        ),
        ({CAMERAS[0]: (FeatureType.VISUAL, (3, 48, 48))}, {"crop_shape": (50, 40)}, r"crop_shape=\[50, 40\].*48 x 48"),
        ({CAMERAS[0]: (FeatureType.VISUAL, (3, 48, 48))}, {"crop_shape": (32, 32)}, "32 x 32.*single pixel"),
    ],
)
def test_data_that_do_not_fit_are_refused(features, kwargs, offender):
    cfg = config(**kwargs)
    features = {STATE: (FeatureType.STATE, (5,)), **features}
    cfg.input_features = {key: PolicyFeature(*feature) for key, feature in features.items()}
    with pytest.raises(InputError, match=offender):
        EdmPolicy(cfg)
