"""`torch.compile` of a training, as accelerate applies it to LeRobot's command; every policy type.

The backends trace as the default one does, and for the networks that learn in turns differentiate as it does, but
generate no code, which would take minutes.
"""

import shutil

import pytest
import torch
from accelerate.state import AcceleratorState
from lerobot_commands import checkpoint_tensors, lerobot_train
from saved_checkpoints import NETWORK, SAVED
from training_options import SOURCE_OF, options

from lerobot_sdm.policies import config_classes

BACKENDS = {"sdm": "AOT_EAGER"}
STEPS = {"sdm": 3}
"""Of an sdm: one of regression alone, and then each kind of turn."""
MORE = {
    "consistency": ("--policy.dropout_rate=0",),  # Compiled code draws other entries.
    # Samples for the energy score have another batch size, and each evaluation of the teacher is traced: more graphs.
    "sdm": ("--policy.warmup_steps=1", "--policy.data_weight=0", "--policy.teacher_inference_steps=2"),
    "difftori": ("--policy.n_iterations=2", "--policy.n_recorded_iterations=1"),
}
TOLERANCE, NOTHING = 1e-2, 1e-5
"""Rounding of the optimizer's averages of gradients: a share of the largest of a tensor, and of the largest of all,
below which is what would be zero without it (a bias before a normalization)."""
MOST_GRAPHS = 50


@pytest.fixture
def flags(kind, tmp_path) -> tuple[str, ...]:
    """Of the smallest network there is, because each of its operations is traced, in every graph."""
    if kind not in SOURCE_OF:
        return (*options(kind), *NETWORK)
    source = shutil.copytree(SAVED / SOURCE_OF[kind], tmp_path / "source")
    return (*options(kind, source), *MORE.get(kind, ()))


@pytest.fixture
def compiled(monkeypatch, flags, kind):
    """A process has one compiler, as accelerate sees it, and other trainings in this process have none."""
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", BACKENDS.get(kind, "EAGER"))
    torch._dynamo.utils.counters.clear()
    yield
    torch.compiler.reset()
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(config_classes()))
def test_a_compiled_training_learns_the_same(kind, tmp_path, monkeypatch, dataset, flags, compiled):
    steps = STEPS.get(kind, 2)
    found = checkpoint_tensors(lerobot_train(monkeypatch, dataset, tmp_path / "compiled", *flags, steps=steps))
    # Something was compiled, and not anew in every step.
    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] < MOST_GRAPHS

    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.delenv("ACCELERATE_DYNAMO_BACKEND")
    expected = checkpoint_tensors(lerobot_train(monkeypatch, dataset, tmp_path / "plain", *flags, steps=steps))
    assert expected.keys() == found.keys()
    gradients = {key: value for key, value in expected.items() if key.endswith("/exp_avg")}
    largest = max(value.abs().max().item() for value in gradients.values())
    for key, value in gradients.items():
        assert found[key].any(), key  # Every network learns.
        allowed = TOLERANCE * value.abs().max().item() + NOTHING * largest
        assert (found[key] - value).abs().max().item() <= allowed, key
