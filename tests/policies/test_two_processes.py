"""Training from two processes, started by accelerate on the CPU; every policy type, and one of them resumed.

The windows of the resumed run's dataset fill whole rounds of both processes. Where they do not, accelerate fills the
last round of an epoch with samples from its beginning, and a process that resumed within the epoch knows another
beginning: that one round then holds other samples than in the uninterrupted run.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import train_in_two
from lerobot_commands import COMMON, checkpoint_tensors, make_small_dataset
from safetensors.torch import load_file
from training_options import SOURCE_OF, options
from warm_start import run_forked

from lerobot_sdm.policies import config_classes
from lerobot_sdm.policies.guards import check_weights

pytest_plugins = ("warm_start",)

KINDS = sorted(config_classes())
UNINTERRUPTED = "uninterrupted"
"""The run of an sdm of which the second half is done anew."""
TOLERANCE = 1e-6
"""The sum over processes has one order for two of them; a resumed run was found bit-exact, and this leaves room for
other builds of the communication library."""


def run(*command: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


def launch(*args: str) -> None:
    """Start LeRobot's command in two processes, as a user does."""
    scripts = Path(sys.executable).parent
    # On a machine without a GPU accelerate has no launcher for several CPU processes but this one; LeRobot itself
    # keeps the processes on the CPU where --policy.device=cpu.
    run(
        str(scripts / "accelerate"), "launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
        "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0", str(scripts / "lerobot-train"), *args,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained_in_two(tmp_path_factory, dataset, trained, warm) -> Path:
    """A folder with a training of every policy type in two processes."""
    root = tmp_path_factory.mktemp("two")
    runs = {}
    for kind in KINDS:
        flags = options(kind, trained(SOURCE_OF[kind]) if kind in SOURCE_OF else None)
        output = (f"--output_dir={root / kind / 'run'}", "--steps=6", "--save_freq=1")
        runs[kind] = [*COMMON, f"--dataset.root={dataset}", *output, *flags]
    # 30 + 24 frames, of which the last 3 of each episode start no window: 48 windows, 6 rounds of 2 x 4.
    whole_rounds = make_small_dataset(root / "data", frames=(30, 24))
    runs[UNINTERRUPTED] = [*COMMON, f"--dataset.root={whole_rounds}", f"--output_dir={root / UNINTERRUPTED / 'run'}",
                           "--steps=16", "--save_freq=8", *options("sdm", trained("dp3"))]  # fmt: skip
    (root / "runs.json").write_text(json.dumps(runs))
    status, printed = run_forked(warm, sys.executable, train_in_two.__file__, str(root))
    assert status == 0, printed[-3000:]
    return root


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_one_policy(kind, trained_in_two):
    """Both processes have seen other losses, having other samples and other noise, and still have the same weights: so
    each step took both processes' gradients."""
    folder = trained_in_two / kind
    assert not (folder / "error.txt").exists(), (folder / "error.txt").read_text()
    first, second = (load_file(folder / f"rank{rank}.safetensors") for rank in range(2))
    assert not torch.isclose(first.pop("losses"), second.pop("losses")).any()
    check_weights(first)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_every_network(kind, trained_in_two):
    steps = trained_in_two / kind / "run" / "checkpoints"
    first, last = (checkpoint_tensors(steps / step / "pretrained_model") for step in ("000001", "000006"))
    check_weights(last)
    moments = {key for key in last if "exp_avg_sq" in key}
    assert moments
    assert all(last[key].any() for key in moments)  # whatever is optimized has had a gradient
    weights = [key for key in last if "optimizer" not in key and last[key].is_floating_point()]
    networks = {key.split(".")[1] for key in weights if key.startswith("training_state")} or {"safetensors:"}
    assert networks >= {"safetensors:fake_score", "safetensors:model"} or kind != "sdm"
    for network in networks:
        assert any(network in key and not torch.equal(first[key], last[key]) for key in weights), network


@pytest.mark.slow
def test_two_processes_resume_where_they_stopped(tmp_path, trained_in_two):
    """By accelerate's own launcher; it would start the uninterrupted run in the same way, which takes a minute more."""
    whole = trained_in_two / UNINTERRUPTED / "run"
    half = whole / "checkpoints" / "000008" / "pretrained_model"
    launch("--resume=true", f"--config_path={half / 'train_config.json'}", f"--output_dir={tmp_path / 'resumed'}")

    expected = checkpoint_tensors(whole / "checkpoints" / "last" / "pretrained_model")
    found = checkpoint_tensors(tmp_path / "resumed" / "checkpoints" / "last" / "pretrained_model")
    assert expected.keys() == found.keys()
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], atol=TOLERANCE, rtol=0, msg=lambda m, k=key: f"{k}: {m}")
    before = checkpoint_tensors(half)
    assert any(not torch.equal(before[key], expected[key]) for key in before if "fake_score" in key)
