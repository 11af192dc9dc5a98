"""Training from two processes, started by accelerate on the CPU, and resumed.

The windows of this data set fill whole rounds of both processes. Where they do not, accelerate fills the last round of
an epoch with samples from its beginning, and a process that resumed within the epoch knows another beginning: that one
round then holds other samples than in the uninterrupted run.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import options
from lerobot_commands import COMMON, checkpoint_tensors, make_small_dataset

TOLERANCE = 1e-6
"""The sum over processes has one order for two of them; a resumed run was found bit-exact, and this leaves room for
other builds of the communication library."""


def launch(*args: str) -> None:
    scripts = Path(sys.executable).parent
    # On a machine without a GPU accelerate has no launcher for several CPU processes but this one; LeRobot itself
    # keeps the processes on the CPU where --policy.device=cpu.
    command = [
        str(scripts / "accelerate"), "launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
        "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0", str(scripts / "lerobot-train"), *args,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_resume_where_they_stopped(tmp_path, teacher):
    # 30 + 24 frames, of which the last 3 of each episode start no window: 48 windows, 6 rounds of 2 x 4.
    dataset = make_small_dataset(tmp_path / "data", frames=(30, 24))
    whole = tmp_path / "whole"
    launch(*COMMON, f"--dataset.root={dataset}", f"--output_dir={whole}", "--steps=16", "--save_freq=8",
           *options("sdm", teacher))  # fmt: skip
    half = whole / "checkpoints" / "000008" / "pretrained_model"
    launch("--resume=true", f"--config_path={half / 'train_config.json'}", f"--output_dir={tmp_path / 'resumed'}")

    expected = checkpoint_tensors(whole / "checkpoints" / "last" / "pretrained_model")
    found = checkpoint_tensors(tmp_path / "resumed" / "checkpoints" / "last" / "pretrained_model")
    assert expected.keys() == found.keys()
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], atol=TOLERANCE, rtol=0, msg=lambda m, k=key: f"{k}: {m}")
    before = checkpoint_tensors(half)
    assert any(not torch.equal(before[key], expected[key]) for key in before if "fake_score" in key)
