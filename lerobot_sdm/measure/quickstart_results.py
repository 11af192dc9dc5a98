"""Everything that a run has measured, gathered from the files of its stages into one `results.json`."""

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.files import read_json
from lerobot_sdm.measure.methods import ROWS
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.statistics import bootstrap_mean, paired_difference, wilson_interval

EXPERT_LABEL = "expert (sees the full state)"
PACKAGES = ("lerobot_policy_sdm", "lerobot", "torch", "mujoco", "metaworld", "gymnasium", "numpy")


def collect_results(config: RunSettings, layout: RunLayout) -> dict[str, Any]:
    """Gather a run's measurements.

    Args:
        config: The run's settings.
        layout: Its folder, all stages before the report being finished.

    Returns:
        JSON-compatible: settings, one entry for each row of the table (per-episode outcomes included), the
        command and duration of each stage, versions and machine.

    Raises:
        InputError: If rows were evaluated on different numbers of episodes.
    """
    successes = all_successes(config, layout)
    by_rule = {rule: all_successes(config, layout, rule) for rule in config.other_rules}

    distances = read_json(layout.distances)
    energies = {row["label"]: np.array(row["per_observation"]["energy"]) for row in distances["rows"]}
    # The reference has no row of its own there: the floor, itself under other noise, is what is known of it.
    measured = {row["label"]: row for row in distances["rows"]}
    measured[ROWS[0].key] = measured.pop(distances["floor"])
    latency = {row["label"]: row for row in read_json(layout.latency)}
    labels = {"expert": EXPERT_LABEL} | {row.key: row.label for row in ROWS}
    reference = successes[ROWS[0].key]
    rows = [
        {
            "key": key,
            "label": labels[key],
            "successes": outcomes,
            "success_rate": asdict(wilson_interval(sum(outcomes), len(outcomes))),
            "difference_to_teacher": asdict(paired_difference(outcomes, reference)),
            "other_rules": {
                rule: {
                    "successes": others[key],
                    "success_rate": asdict(wilson_interval(sum(others[key]), len(others[key]))),
                    "difference_to_teacher": asdict(paired_difference(others[key], others[ROWS[0].key])),
                }
                for rule, others in by_rule.items()
            },
            "latency": latency.get(key),
            "distance_to_teacher": {
                name: measured[key][name] for name in ("energy", "spread", "map_rms") if key in measured
            },
        }
        for key, outcomes in successes.items()
    ]
    return {
        "task": config.name,
        "settings": config.settings(),
        "evaluation_seeds": [config.eval_seed, config.eval_seed + config.eval_episodes - 1],
        "rows": rows,
        "distances": {name: distances[name] for name in ("observations", "samples", "seed", "unit")},
        "read_out_minus_student": asdict(bootstrap_mean(energies["teacher_1"] - energies["student"])),
        "stages": stage_records(layout.root),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "machine": machine(),
    }


def all_successes(config: RunSettings, layout: RunLayout, rule: str | None = None) -> dict[str, list[bool]]:
    """Outcome of each episode for the expert and each row of the table, by a rule of success.

    Raises:
        InputError: If rows were evaluated on different numbers of episodes.
    """
    expert = read_json(layout.expert)
    successes = {"expert": expert["successes"] if rule is None else expert["other_rules"][rule]}
    successes |= {row.key: evaluated_successes(layout.evaluation(row.key, rule)) for row in ROWS}
    counts = {key: len(values) for key, values in successes.items()}
    if set(counts.values()) != {config.eval_episodes}:
        raise InputError(f"{layout.root}: rows do not have {config.eval_episodes} episodes each: {counts}.")
    return successes


def evaluated_successes(folder: Path) -> list[bool]:
    """Outcome of each episode of a `lerobot-eval` run, in the order of its seeds.

    LeRobot's `eval_info.json` keeps no seeds. Episode i has seed `--seed` + i, whatever the batch size
    (`eval_policy` in `lerobot_eval.py`), and the file lists episodes in that order.

    Args:
        folder: The `--output_dir` of the evaluation of one task.
    """
    return [bool(value) for value in evaluated_metric(folder, "successes")]


def evaluated_metric(folder: Path, name: str) -> list[float]:
    """A metric of each episode of a `lerobot-eval` run of one task, such as `max_rewards`, in order of seeds."""
    (task,) = read_json(folder / "eval_info.json")["per_task"]
    return list(task["metrics"][name])


def stage_records(root: Path) -> list[dict[str, Any]]:
    """Markers of the finished stages, in the order in which they finished."""
    records = [read_json(path) for path in (root / "stages").glob("*.json")]
    kept = ("stage", "command", "seconds", "continued", "finished")
    return [{name: record[name] for name in kept} for record in sorted(records, key=lambda r: r["finished"])]


def source_commit() -> str | None:
    """Commit of the checkout that this package runs from, with `-dirty` where the package has been changed since; None
    where it was installed without one."""
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ("git", "-C", str(package), *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    try:
        # A virtual environment inside somebody else's checkout says nothing about this package.
        git("ls-files", "--error-unmatch", "errors.py")
        return git("rev-parse", "HEAD") + "-dirty" * bool(git("status", "--porcelain", "--untracked-files=no", "."))
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict[str, Any]:
    """What the measurements ran on, without anything that identifies the machine."""
    import torch

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
