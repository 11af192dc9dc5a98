"""Read what stages recorded: outcomes, losses and markers; and what they ran on: versions, commit, machine."""

import functools
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lerobot_sdm.files import json_files, read_json
from lerobot_sdm.measure.settings import Training
from lerobot_sdm.versions import installed_versions

PACKAGES = ("lerobot_policy_sdm", "lerobot", "torch", "mujoco", "metaworld", "gymnasium", "numpy")
"""Packages whose versions matter to a run in a MuJoCo simulator."""
FRAMES_LOGGED = re.compile(r"dataset\.num_frames=(\d+)")
LOSS_LOGGED = re.compile(r"epch:(\d+\.\d+) loss:(-?\d+\.\d+)")


def evaluated_successes(folder: Path) -> list[bool]:
    """Outcome of each episode of a `lerobot-eval` run, in the order of its seeds.

    LeRobot's `eval_info.json` keeps no seeds. Episode i has seed `--seed` + i, whatever the batch size
    (`eval_policy` in `lerobot_eval.py`), and the file lists episodes in that order.
    """
    return [bool(value) for value in evaluated_metric(folder, "successes")]


def evaluated_metric(folder: Path, name: str) -> list[float]:
    """A metric of each episode of a `lerobot-eval` run of one task, such as `max_rewards`, in order of seeds."""
    (task,) = read_json(folder / "eval_info.json")["per_task"]
    return list(task["metrics"][name])


def loss_curve(log: Path, training: Training) -> list[tuple[int, float]]:
    """Steps and losses of a training.

    LeRobot abbreviates steps ("step:2K") but prints epochs in full, from which the steps follow. Lines of a part that
    was trained again after an interruption replace earlier ones.

    Args:
        log: Output of `lerobot-train`, all attempts in sequence.

    Returns:
        (step, mean loss since the last one) in order of steps.
    """
    text = log.read_text(errors="replace")
    text = text[max(0, text.rfind("$ lerobot-train --policy.")) :]  # Of a training that was started anew, the last.
    frames = FRAMES_LOGGED.search(text)
    every = training.options.get("log_freq")
    if frames is None or every is None:
        return []
    per_epoch = int(frames[1]) / training.batch_size
    losses = {}
    for epochs, loss in LOSS_LOGGED.findall(text):
        losses[every * round(float(epochs) * per_epoch / every)] = float(loss)
    return sorted(losses.items())


def stage_records(root: Path) -> list[dict[str, Any]]:
    """Markers of the finished stages, in the order in which they finished.

    Paths in commands are relative to the run's folder: results are published, and a machine's folders are private.
    """
    records = [read_json(path) for path in json_files(root / "stages")]
    kept = ("stage", "command", "seconds", "continued", "finished", "commit")
    for record in records:
        record["command"] = record["command"] and record["command"].replace(f"{root}/", "")
        record.setdefault("commit", None)  # Markers of earlier versions have none.
    return [{name: record[name] for name in kept} for record in sorted(records, key=lambda r: r["finished"])]


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of packages."""
    return installed_versions(packages)


@functools.cache
def source_commit() -> str | None:
    """Commit of the checkout that this process runs from, with `-dirty` if the package has changed since; None if it
    was installed without one."""
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(package), *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    try:
        # A checkout that merely contains the virtual environment says nothing about this package.
        git("ls-files", "--error-unmatch", "errors.py")
        return git("rev-parse", "HEAD") + "-dirty" * bool(git("status", "--porcelain", "--untracked-files=no", "."))
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict[str, Any]:
    """The hardware that the measurements ran on, without anything that identifies the machine."""
    import torch  # Imported here because a benchmark's workers read records without needing torch.

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor_name() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
