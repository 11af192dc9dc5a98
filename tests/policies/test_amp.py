"""Mixed precision: what is trained under autocast is saved in float32 and acts; every policy type."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from lerobot_commands import checkpoint_tensors, lerobot_train
from training_options import SOURCE_OF, TYPE_OPTIONS, options

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.guards import check_weights
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec


@pytest.fixture
def own_precision():
    """A process has one mixed precision, as accelerate sees it, and other tests train in this process without."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def source(trained, kind):
    return trained(SOURCE_OF[kind]) if kind in SOURCE_OF else None


FLOAT32_ONLY = {"meanflow"}
"""What refuses to learn under autocast; see its own tests."""


@pytest.mark.parametrize("kind", sorted(TYPE_OPTIONS.keys() - FLOAT32_ONLY))
def test_training_and_acting_under_autocast(trained, kind, dataset, tmp_path, monkeypatch, source, own_precision):
    flags = (*options(kind, source), "--policy.use_amp=true")
    output = tmp_path / "run"
    folder = lerobot_train(monkeypatch, dataset, output, *flags, steps=8, save_freq=4)
    first, last = checkpoint_tensors(output / "checkpoints/000004/pretrained_model"), checkpoint_tensors(folder)
    weights = {key: value for key, value in last.items() if value.is_floating_point() and "optimizer" not in key}
    assert {value.dtype for value in weights.values()} == {torch.float32}
    check_weights(weights)
    # Whatever learns goes on learning: of a student, the generator and the fake score.
    networks = {key.split(".")[1] for key in weights if key.startswith("training_state")}
    assert networks >= {"safetensors:fake_score", "safetensors:model"} or kind != "sdm"
    for network in networks or {"safetensors"}:
        moved = [key for key in weights if network in key and not torch.equal(first[key], last[key])]
        assert moved, network

    check_acting(folder)


def check_acting(folder: Path) -> None:
    """Acts as in LeRobot's evaluation under autocast, where the network computes in bfloat16."""
    loaded, starts = load_from_spec(PolicySpec("x", str(folder))), []
    policy, sample = loaded.policy, loaded.policy.actions_from_noise
    policy.actions_from_noise = lambda model, noise, cond: starts.append(noise) or sample(model, noise, cond)
    seen = {key: torch.rand(2, *feature.shape) for key, feature in policy.config.input_features.items()}
    with torch.autocast("cpu"), torch.inference_mode():
        action = policy.select_action(seen)
        assert np.isfinite(loaded.postprocess(action).numpy()).all()
    assert {value.dtype for value in (action, *starts)} == {torch.float32}
    assert len(starts) == 1


@pytest.mark.parametrize("kind", sorted(FLOAT32_ONLY))
def test_autocast_is_refused_before_training(kind, dataset, tmp_path, monkeypatch, own_precision):
    with pytest.raises(InputError, match=rf"^--policy\.use_amp=true: a {kind} policy"):
        lerobot_train(monkeypatch, dataset, tmp_path / "run", *options(kind), "--policy.use_amp=true", steps=2)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("kind", sorted(FLOAT32_ONLY))
def test_acting_under_autocast(kind, trained):
    check_acting(trained(kind))
