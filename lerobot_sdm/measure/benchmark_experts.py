"""How often the demonstrating expert itself succeeds on a benchmark's episodes: what an imitator can hope to reach."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from lerobot_sdm.files import json_files, read_json, write_json
from lerobot_sdm.measure.benchmark import Benchmark
from lerobot_sdm.measure.measurements import expert_outcomes
from lerobot_sdm.measure.protocols import STRICT
from lerobot_sdm.measure.records import source_commit, versions
from lerobot_sdm.measure.scores import score
from lerobot_sdm.measure.suites import SuiteTask

FOLDER = "experts"


def experts_of(root: Path) -> dict[str, dict[str, Any]]:
    """Task -> its expert's success, of the tasks in a benchmark's folder that have been measured."""
    return {path.stem: read_json(path) for path in json_files(root / FOLDER)}


def measure_experts(benchmark: Benchmark, console: Console) -> None:
    """Run the expert of each task on the episodes of the protocol `strict`, and write one file per task.

    Tasks that have been measured are skipped.
    """
    known = experts_of(benchmark.root)
    left = [task for task in benchmark.tasks if task.name not in known]
    for number, task in enumerate(left, start=1):
        console.print(f"expert of {task.name} ({number} of {len(left)})", highlight=False)
        write_json(benchmark.root / FOLDER / f"{task.name}.json", _measured(benchmark, task))


def _measured(benchmark: Benchmark, task: SuiteTask) -> dict[str, Any]:
    config = replace(benchmark.task_config(task), eval_episodes=benchmark.episodes[STRICT])
    rules = config.other_rules.get(STRICT, {})
    successes = expert_outcomes(config, rules)
    return {
        "task": task.name,
        "level": task.level,
        "expert": config.expert,
        "rules": rules,
        "evaluations": [{"seeds": [config.eval_seeds[0], config.eval_seeds[-1]], "successes": successes}],
        "score": score([successes], best=0),
        "versions": versions(),
        "commit": source_commit(),
    }
