"""A training that is killed again and again, or finds the disk full, ends with the weights of one left alone."""

import contextlib
import random
import signal
import sys
from pathlib import Path

import pytest
import torch
from full_disk import files_of_at_most
from lerobot.scripts import lerobot_train as lerobot_script
from lerobot_commands import COMMON, checkpoint_tensors, lerobot_resume, lerobot_train
from training_options import SOURCE_OF, options
from warm_start import run_forked

pytest_plugins = ("warm_start",)

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
STEPS, SAVE_FREQ = 80, 5
KILLS = 2


def checkpoints(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").glob("[0-9]*")}


def train_until_killed(warm, script: Path, args: list[str], wait: float) -> None:
    """The first checkpoint is whole by then, and `last` shows it: before that there is nothing to resume."""
    script.write_text(DOOMED)
    status, printed = run_forked(warm, sys.executable, str(script), str(wait), *args)
    assert status == -signal.SIGKILL, printed[-3000:]


@pytest.mark.slow
def test_kill_9_again_and_again(tmp_path, monkeypatch, dataset, trained, warm):
    flags = (*options("sdm", trained(SOURCE_OF["sdm"])), "--log_freq=1000")
    whole = lerobot_train(monkeypatch, dataset, tmp_path / "whole", *flags, steps=STEPS, save_freq=SAVE_FREQ)

    run, moments = tmp_path / "killed", random.Random(0)
    start = [*COMMON, f"--dataset.root={dataset}", f"--output_dir={run}", f"--steps={STEPS}"]
    start += [f"--save_freq={SAVE_FREQ}", *flags]
    resume = ["--resume=true", f"--config_path={run / 'checkpoints/last/pretrained_model/train_config.json'}"]
    reached = []
    for args in [start] + [resume] * (KILLS - 1):
        train_until_killed(warm, tmp_path / "doomed.py", args, moments.uniform(0, 0.1))
        reached.append((run / "checkpoints" / "last").resolve().name)
    assert reached == sorted(reached)
    assert int(reached[-1]) < STEPS  # the last part is still to be done
    status, printed = run_forked(warm, "lerobot-train", *resume)
    assert status == 0, printed[-3000:]

    expected, found = checkpoint_tensors(whole), checkpoint_tensors(run / "checkpoints/last/pretrained_model")
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    assert checkpoints(run) == checkpoints(tmp_path / "whole")


@pytest.mark.parametrize("largest", [100, 20_000])
def test_a_full_disk_loses_no_finished_checkpoint(largest, tmp_path, monkeypatch, dataset, trained):
    """From the second checkpoint on not even its settings can be written, or its settings and not its weights."""
    flags = options("sdm", trained(SOURCE_OF["sdm"]))
    whole = lerobot_train(monkeypatch, dataset, tmp_path / "whole", *flags, steps=30)
    save, saved = lerobot_script.save_checkpoint, []

    def save_on_a_full_disk(*args, **kwargs):
        saved.append(None)
        with files_of_at_most(largest) if len(saved) > 1 else contextlib.nullcontext():
            save(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(lerobot_script, "save_checkpoint", save_on_a_full_disk)
        with pytest.raises(Exception, match=r"File too large|No space left"):
            lerobot_train(monkeypatch, dataset, tmp_path / "full", *flags, steps=30)
    assert len(saved) == 2
    last = tmp_path / "full" / "checkpoints" / "last"
    assert last.resolve().name == "000010"
    resumed = lerobot_resume(monkeypatch, last, tmp_path / "full")
    expected, found = checkpoint_tensors(whole), checkpoint_tensors(resumed)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
