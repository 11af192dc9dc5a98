"""A cell from its first stage to its file: the unit that is run side by side, and submitted to other machines."""

import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from lerobot_sdm.benchmark.config import Benchmark, Cell
from lerobot_sdm.benchmark.curves import loss_curve
from lerobot_sdm.benchmark.methods import METHODS, trainings
from lerobot_sdm.benchmark.plan import evaluations, layout_of, measurement_file, run_name, stages, trained
from lerobot_sdm.benchmark.scores import score
from lerobot_sdm.errors import InputError
from lerobot_sdm.pipeline.files import read_json, write_json
from lerobot_sdm.pipeline.plan import Layout
from lerobot_sdm.pipeline.results import PACKAGES, evaluated_successes, stage_records
from lerobot_sdm.pipeline.run import shared_variables
from lerobot_sdm.pipeline.runner import run_stages
from lerobot_sdm.pipeline.stages import Stage, finished_stage
from lerobot_sdm.processes.launcher import Launcher, warm_process
from lerobot_sdm.processes.preloaded import EVERYTHING_ELSE, RECORDING


def cell_file(benchmark: Benchmark, cell: Cell) -> Path:
    """Where a finished cell is written down."""
    return benchmark.root / "cells" / f"{cell.key}.json"


def is_finished(benchmark: Benchmark, cell: Cell) -> bool:
    """Whether a cell has its file.

    Raises:
        InputError: It was measured in another way.
    """
    file = cell_file(benchmark, cell)
    if not file.exists():
        return False
    if read_json(file)["fingerprint"] != fingerprint(benchmark, cell):
        raise InputError(
            f"--output={benchmark.root}: cell {cell.key} was measured by other commands, of another version or with "
            "other demonstrations. Give another --output, or delete the folder to start over."
        )
    return True


def unfinished_stages(benchmark: Benchmark, cell: Cell) -> set[str]:
    """Stages that a cell still needs, by task and name."""
    root = layout_of(benchmark, cell.task).root
    left = (stage for stage in stages(benchmark, cell) if finished_stage(stage, root) is None)
    return {f"{cell.task.name}/{stage.name}" for stage in left}


def run_cell(benchmark: Benchmark, launcher: Launcher | None, cell: Cell) -> Path:
    """Do what has not been done yet of a cell. What it tells goes to `logs/CELL.log`.

    Args:
        benchmark: The benchmark, whose folder is claimed.
        launcher: Starts the commands; None where the cell has a machine of its own, and a warm process there.
        cell: One of its cells.

    Returns:
        The cell's file.

    Raises:
        InputError: A finished stage was another command.
        CommandFailedError: A command failed.
    """
    layout, config = layout_of(benchmark, cell.task), benchmark.task_config(cell.task)
    log = benchmark.root / "logs" / f"{cell.key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        console = Console(file=file, width=120)
        environment = os.environ | shared_variables(config)
        warm = warm_process(environment, RECORDING, log.with_suffix(".warm.log"), EVERYTHING_ELSE)
        with warm if launcher is None else nullcontext(launcher) as chosen:
            run_stages(
                stages(benchmark, cell),
                layout.root,
                console,
                environment,
                guard=partial(stage_lock, layout, console),
                launcher=chosen,
            )
    write_json(cell_file(benchmark, cell), collect(benchmark, cell))
    return cell_file(benchmark, cell)


@contextmanager
def stage_lock(layout: Layout, console: Console, stage: Stage) -> Iterator[tuple[int, ...]]:
    """Hold a stage for this process and for the command that it starts.

    The command inherits the lock: if this process is killed and its command lives on, whoever continues waits until
    the command is gone too, instead of writing into the same folder. The kernel lets go of a dead process's locks.
    """
    path = layout.root / "stages" / f"{stage.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"{stage.title}: another process is at it; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield (file.fileno(),)


def collect(benchmark: Benchmark, cell: Cell) -> dict[str, Any]:
    """Everything about a cell whose stages have finished, JSON-compatible.

    Args:
        benchmark: The benchmark.
        cell: The cell.

    Returns:
        What it is, its outcomes episode by episode, rate, distance, latency, and what they rest on: commands, times,
        hashes of data and weights, versions, machine.
    """
    layout, method = layout_of(benchmark, cell.task), METHODS[cell.method]
    config = benchmark.task_config(cell.task)
    names = {stage.name for stage in stages(benchmark, cell)}
    records = [record for record in stage_records(layout.root) if record["stage"] in names]
    evaluated = [
        {
            "step": item.step,
            "seeds": [item.seed, item.seed + benchmark.episodes - 1],
            "successes": evaluated_successes(layout.evaluation(item.row.key, item.rule)),
        }
        for item in evaluations(benchmark, cell)
    ]
    runs = {run: run_name(run, cell.seed) for run in trainings(cell.method)}
    return {
        "cell": cell.key,
        "task": cell.task.name,
        "level": cell.task.level,
        "method": cell.method,
        "training_seed": cell.seed,
        **benchmark.settings(),
        "rules": config.other_rules.get(benchmark.protocol, {}),
        "evaluations": evaluated,
        "score": score([item["successes"] for item in evaluated], benchmark.rules.best),
        "teacher": method.teacher,
        **read_json(measurement_file(layout, cell)),
        "trainings": {
            run: asdict(trained(benchmark, cell.task, run))
            | {"loss": loss_curve(layout.root / "logs" / f"train_{name}.log", trained(benchmark, cell.task, run))}
            for run, name in runs.items()
        },
        "hashes": {
            "demonstrations": data_hash(layout.demonstrations),
            "held_out": data_hash(layout.held_out),
            **{run: weights_hash(layout, name) for run, name in runs.items()},
        },
        "stages": records,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "fingerprint": fingerprint(benchmark, cell),
    }


def fingerprint(benchmark: Benchmark, cell: Cell) -> str:
    """Hash of all that a cell's stages do."""
    root = layout_of(benchmark, cell.task).root
    prints = [stage.fingerprint(root) for stage in stages(benchmark, cell)]
    return hashlib.sha256(json.dumps(prints).encode()).hexdigest()


def data_hash(dataset: Path) -> str:
    """SHA-256 of a dataset's rows: of its data files, in order of their names."""
    digest = hashlib.sha256()
    for path in sorted(dataset.glob("data/**/*.parquet")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def weights_hash(layout: Layout, run: str) -> str:
    """SHA-256 of the weights of a training's last checkpoint."""
    with (layout.checkpoint(run) / "model.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
