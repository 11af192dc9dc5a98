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
from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.suites import SuiteTask

FOLDER = "experts"


def experts_of(root: Path) -> dict[str, dict[str, Any]]:
    """Task -> its expert's success, of the tasks in a benchmark's folder that have been measured."""
    return {path.stem: read_json(path) for path in json_files(root / FOLDER)}


def measure_experts(benchmark: Benchmark, console: Console) -> None:
    """Run the expert of each task on the episodes of the protocol `strict`, and write one file per task.

    Tasks whose present expert has been measured on these episodes are skipped.
    """
    known = experts_of(benchmark.root)
    left = [task for task in benchmark.tasks if not _is_measured(benchmark, task, known.get(task.name))]
    for number, task in enumerate(left, start=1):
        console.print(f"expert of {task.name} ({number} of {len(left)})", highlight=False)
        write_json(benchmark.root / FOLDER / f"{task.name}.json", _measured(benchmark, task))


def _is_measured(benchmark: Benchmark, task: SuiteTask, found: dict[str, Any] | None) -> bool:
    """Whether a task's file is of the expert that demonstrates now, on the same episodes."""
    config = _config(benchmark, task)
    return found is not None and (found["expert"], found["rules"], found["evaluations"][0]["seeds"]) == (
        config.expert,
        config.other_rules.get(STRICT, {}),
        [config.eval_seeds[0], config.eval_seeds[-1]],
    )


def _config(benchmark: Benchmark, task: SuiteTask) -> RunSettings:
    return replace(benchmark.task_config(task), eval_episodes=benchmark.episodes[STRICT])


def _measured(benchmark: Benchmark, task: SuiteTask) -> dict[str, Any]:
    config = _config(benchmark, task)
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
