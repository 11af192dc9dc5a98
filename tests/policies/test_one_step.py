"""One-step policies that learn from demonstrations alone: what holds for each of them, and flow matching's own part."""

from typing import Any

import pytest
import torch
from lerobot.policies.factory import get_policy_class
from observation_kinds import KINDS, SMALL, batch, feature_options

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.nets.backbone_settings import FIELDS
from lerobot_sdm.nets.backbones import BACKBONES
from lerobot_sdm.policies import config_classes
from lerobot_sdm.policies.one_step_config import OneStepConfig

TYPES = sorted(name for name, config in config_classes().items() if issubclass(config, OneStepConfig))


def policy(name: str, kind: str = "keypoints", training: bool = False, backbone: str = "unet", **kwargs: Any):
    torch.manual_seed(0)
    settings = {"horizon": 8, "n_action_steps": 4, "diffusion_step_embed_dim": 16, **SMALL, **kwargs}
    if backbone == "mixer":
        settings = {key: value for key, value in settings.items() if key not in FIELDS["unet"]}
        settings |= {"backbone": "mixer", "mixer_width": 16, "mixer_depth": 2}
    config = config_classes()[name](**feature_options(kind), **settings)
    return get_policy_class(name)(config, dataset_meta=object() if training else None).eval()


def training_batch(kind: str = "keypoints") -> dict[str, torch.Tensor]:
    actions = torch.rand(3, 8, 2, generator=torch.Generator().manual_seed(2)) * 2 - 1
    return {**batch(kind), "action": actions}


def test_there_are_three():
    assert TYPES == ["drift", "flow", "meanflow"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TYPES)
def test_acts_on_and_learns_from_every_kind_of_observation(name, kind):
    p = policy(name, kind, training=True, crop_shape=(64, 64), clip_sample_range=None)
    noise, data = torch.randn(3, 8, 2), batch(kind)
    actions = p.sample_actions(data, noise)
    assert actions.shape == (3, 8, 2)
    assert torch.equal(actions, p.sample_actions(data, noise))
    assert not torch.equal(actions, p.sample_actions(data, noise + 1))
    for key in data:
        assert not torch.equal(actions, p.sample_actions({**data, key: data[key] + 1}, noise)), key
    p.train()
    loss, told = p.forward(training_batch(kind))
    loss.backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in p.model.parameters())
    assert all(isinstance(value, float) for value in told.values())


@pytest.mark.parametrize("name", TYPES)
def test_acts_in_one_network_evaluation_by_default(name):
    p = policy(name)
    with count_calls(p.denoiser) as counter:
        p.sample_actions(batch())
    assert counter.calls == 1


@pytest.mark.parametrize("name", ["flow", "meanflow"])
def test_may_take_more_steps(name):
    p = policy(name, num_inference_steps=3)
    with count_calls(p.denoiser) as counter:
        p.sample_actions(batch())
    assert counter.calls == 3


@pytest.mark.parametrize("name", TYPES)
def test_actions_are_clipped_unless_told_otherwise(name):
    noise = 50 * torch.randn(3, 8, 2)
    assert policy(name).sample_actions(batch(), noise).abs().max() == 1
    assert policy(name, clip_sample_range=None).sample_actions(batch(), noise).abs().max() > 1


@pytest.mark.parametrize("name", TYPES)
def test_the_loss_is_repeated_with_seed_and_step(name):
    p = policy(name, "images", training=True, crop_shape=(64, 64)).train()
    data = training_batch("images")
    first = p.forward(data)[0].item()
    torch.randn(10)  # The global generator moves on.
    assert p.forward(data)[0].item() == first
    before = torch.get_rng_state()
    p.forward(data)
    assert torch.equal(torch.get_rng_state(), before)
    p.train_step += 1
    assert p.forward(data)[0].item() != first


@pytest.mark.parametrize("name", TYPES)
def test_padded_actions_do_not_teach(name):
    p = policy(name, training=True, do_mask_loss_for_padding=True).train()
    data = training_batch()
    padded = torch.zeros(3, 8, dtype=torch.bool)
    padded[:, 4:] = True
    if name == "meanflow":  # Flow matching alone, since the derivative of the whole chunk is part of other targets.
        p.config.flow_ratio, p.config.endpoint_fraction = 1.0, 0.0
    other = data["action"].clone()
    other[:, 4:] += 0.5
    losses = []
    with NoiseOfOneStep(p, 4):
        for actions in (data["action"], other):
            losses.append(p.forward({**data, "action": actions, "action_is_pad": padded})[0].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


class NoiseOfOneStep:
    """Within this context the network sees nothing of the steps from `first` on, so that only the loss can."""

    def __init__(self, policy, first: int):
        self.handle = policy.model.unet.register_forward_pre_hook(
            lambda _, args: (torch.cat([args[0][:, :first], torch.zeros_like(args[0][:, first:])], 1), *args[1:])
        )

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", TYPES)
def test_a_checkpointed_network_learns_the_same(name, backbone):
    losses, gradients = [], []
    for checkpointing in (False, True):
        p = policy(name, training=True, backbone=backbone, gradient_checkpointing=checkpointing).train()
        loss, _ = p.forward(training_batch())
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([w.grad.flatten() for w in p.model.parameters()]))
    assert losses[0] == pytest.approx(losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("name", "wrong", "offender"),
    [
        ("flow", {"prediction": "noise"}, "prediction: 'noise'.*velocity"),
        ("flow", {"time_power": 0.0}, r"time_power=0\.0: must be above 0"),
        ("flow", {"time_shift": -1.0}, r"time_shift=-1\.0: must be above 0"),
        ("flow", {"time_shift": float("inf")}, "time_shift=inf: must be finite"),
        ("flow", {"time_scale": 0.0}, r"time_scale=0\.0"),
        ("flow", {"num_inference_steps": 0}, "num_inference_steps=0"),
        ("meanflow", {"recipe": "mp2"}, "recipe: 'mp2' is not known.*mp1"),
        ("meanflow", {"time_pair": "t"}, "time_pair: 't' is not known"),
        ("meanflow", {"time_sampler": "beta"}, "time_sampler: 'beta' is not known"),
        ("meanflow", {"derivative": "backward"}, "derivative: 'backward' is not known.*forward"),
        ("meanflow", {"time_scale": 1000.0}, r"time_scale=1000\.0: must be at most 100"),
        ("meanflow", {"time_scale": 0.0}, r"time_scale=0\.0: must be above 0"),
        ("meanflow", {"logit_std": 0.0}, r"logit_std=0\.0"),
        ("meanflow", {"flow_ratio": 1.5}, r"flow_ratio=1\.5: must lie in 0 \.\.\. 1"),
        ("meanflow", {"endpoint_fraction": -0.1}, r"endpoint_fraction=-0\.1: must lie in 0"),
        (
            "meanflow",
            {"flow_ratio": 0.7, "endpoint_fraction": 0.4},
            r"endpoint_fraction=0\.4: with --policy\.flow",
        ),
        ("meanflow", {"difference_step": 0.5}, r"difference_step=0\.5: must be below"),
        ("meanflow", {"dispersive_weight": -1.0}, r"dispersive_weight=-1\.0"),
        ("meanflow", {"dispersive_temperature": 0.0}, r"dispersive_temperature=0\.0"),
        ("drift", {"samples": 1}, "samples=1: must be at least 2, because a single sample"),
        ("drift", {"samples": 100_000}, "samples=100000: must lie in"),
        ("drift", {"temperatures": ()}, r"temperatures=\[\]: must be one or more"),
        ("drift", {"temperatures": (0.1, 0.0)}, r"temperatures=\[0\.1, 0\.0\]"),
        ("drift", {"affinity_floor": 2.0}, r"affinity_floor=2\.0: must lie in 0"),
        ("drift", {"group": "joint"}, "group: 'joint' is not known"),
        ("drift", {"mse_steps": -1}, "mse_steps=-1"),
        ("drift", {"mse_width": 0}, "mse_width=0"),
    ],
)
def test_impossible_settings_are_refused_by_name(name, wrong, offender):
    with pytest.raises(InputError, match=rf"^--policy\.{offender}"):
        policy(name, **wrong)


@pytest.mark.parametrize("prediction", ["velocity", "sample"])
def test_one_step_of_flow_is_its_prediction_at_pure_noise(prediction):
    p = policy("flow", prediction=prediction, clip_sample_range=None)
    noise, cond = torch.randn(3, 8, 2), p.model.encode(batch())
    predicted = p.model.predict(noise, torch.ones(3), cond)
    expected = noise - predicted if prediction == "velocity" else predicted
    torch.testing.assert_close(p.actions_from_noise(p.model, noise, cond), expected)


@pytest.mark.parametrize("prediction", ["velocity", "sample"])
def test_the_loss_of_flow_by_hand(prediction):
    """With a network that answers 0: the mean square of what it should answer."""
    p = policy("flow", training=True, prediction=prediction).train()
    p.model.unet.register_forward_hook(lambda *args: torch.zeros_like(args[-1]))
    data = training_batch()
    noise = torch.randn(3, 8, 2, generator=p.training_noise_generator(torch.device("cpu")))
    expected = noise - data["action"] if prediction == "velocity" else data["action"]
    assert p.forward(data)[0].item() == pytest.approx(expected.square().mean().item(), rel=1e-5)
