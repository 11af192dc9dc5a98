"""A training that is killed again and again ends with the weights of one that was left alone."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import SOURCE_OF, options
from lerobot_commands import COMMON, checkpoint_tensors, lerobot_train

SCRIPT = "from lerobot.scripts.lerobot_train import main; main()"
DOOMED = """
import os, signal, sys, threading, time
from lerobot.scripts import lerobot_train
wait, save, saved = float(sys.argv.pop(1)), lerobot_train.save_checkpoint, []
def save_and_die(*args, **kwargs):
    saved.append(None)
    if len(saved) == 2:
        threading.Timer(wait, os.kill, (os.getpid(), signal.SIGKILL)).start()
    if len(saved) == 6:
        time.sleep(600)
    save(*args, **kwargs)
lerobot_train.save_checkpoint = save_and_die
lerobot_train.main()
"""
"""A training that kills itself within `wait` seconds of its second checkpoint: perhaps while that one is half-written,
perhaps somewhere behind it. However late the moment comes on a busy machine, the sixth checkpoint is not reached."""
STEPS, SAVE_FREQ = 160, 10
KILLS = 2


def checkpoints(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").glob("[0-9]*")}


def train_until_killed(args: list[str], wait: float) -> None:
    """The first checkpoint is whole by then, and `last` shows it: before that there is nothing to resume."""
    process = subprocess.run(
        [sys.executable, "-c", DOOMED, str(wait), *args], stdout=subprocess.DEVNULL, check=False, timeout=300
    )
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_kill_9_again_and_again(tmp_path, monkeypatch, dataset, trained):
    flags = (*options("sdm", trained(SOURCE_OF["sdm"])), "--log_freq=1000")
    whole = lerobot_train(monkeypatch, dataset, tmp_path / "whole", *flags, steps=STEPS, save_freq=SAVE_FREQ)

    run, moments = tmp_path / "killed", random.Random(0)
    start = [*COMMON, f"--dataset.root={dataset}", f"--output_dir={run}", f"--steps={STEPS}"]
    start += [f"--save_freq={SAVE_FREQ}", *flags]
    resume = ["--resume=true", f"--config_path={run / 'checkpoints/last/pretrained_model/train_config.json'}"]
    reached = []
    for args in [start] + [resume] * (KILLS - 1):
        train_until_killed(args, moments.uniform(0, 0.1))
        reached.append((run / "checkpoints" / "last").resolve().name)
    assert reached == sorted(reached)
    assert int(reached[-1]) < STEPS  # the last part is still to be done
    subprocess.run([sys.executable, "-c", SCRIPT, *resume], check=True, stdout=subprocess.DEVNULL, timeout=500)

    expected, found = checkpoint_tensors(whole), checkpoint_tensors(run / "checkpoints/last/pretrained_model")
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert checkpoints(run) == checkpoints(tmp_path / "whole")
