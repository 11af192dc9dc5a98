"""Run a cell from its first stage to its file: the unit of parallel and cluster execution."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.benchmark import Benchmark, Cell
from lerobot_sdm.measure.cell_stages import evaluations, layout_of, measurement_file, stages, trained
from lerobot_sdm.measure.methods import METHODS, trainings
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.provenance import check_shared, data_hash, run_name, weights_hash
from lerobot_sdm.measure.records import evaluated_successes, loss_curve, source_commit, stage_records, versions
from lerobot_sdm.measure.runner import run_stages, shared_variables, start_warm
from lerobot_sdm.measure.scores import score
from lerobot_sdm.measure.stages import Stage, finished_stage
from lerobot_sdm.processes.launcher import Launcher


def cell_file(benchmark: Benchmark, cell: Cell) -> Path:
    """Path of a finished cell's file."""
    return benchmark.finished / f"{cell.key}.json"


def finished_cell(benchmark: Benchmark, cell: Cell) -> dict[str, Any] | None:
    """Content of a cell's file; None if there is none.

    Raises:
        InputError: It was measured in another way.
    """
    file = cell_file(benchmark, cell)
    if not file.exists():
        return None
    found = read_json(file)
    for protocol, measured in found["protocols"].items():
        if measured["fingerprint"] != fingerprint(benchmark, cell, protocol):
            raise InputError(
                f"--output={benchmark.root}: cell {cell.key} was measured by other commands, by another version or on "
                "other demonstrations. Give another --output, or delete the folder to start over; to redo only "
                f"{cell.method}, delete cells/*.{cell.method}.* and tasks/*/{METHODS[cell.method].run}_seed*."
            )
    return found


def missing_protocols(benchmark: Benchmark, cell: Cell) -> tuple[str, ...]:
    """The protocols that a cell still has to be measured by. Raises as `finished_cell` does."""
    found = finished_cell(benchmark, cell)
    asked = benchmark.protocols_of(cell.method)
    return asked if found is None else tuple(name for name in asked if name not in found["protocols"])


def unfinished_stages(benchmark: Benchmark, cell: Cell) -> set[str]:
    """The unfinished stages of a cell, by task and name."""
    root = layout_of(benchmark, cell.task).root
    wanted = stages(benchmark, cell, missing_protocols(benchmark, cell))
    return {f"{cell.task.name}/{stage.name}" for stage in wanted if finished_stage(stage, root) is None}


def run_cell(benchmark: Benchmark, launcher: Launcher | None, cell: Cell) -> Path:
    """Run a cell's unfinished work, skipping protocols that its file already has, and return that file.

    The benchmark's folder is claimed. Output goes to `logs/CELL.log`.

    Args:
        launcher: Starts the commands; None if the cell runs on its own machine, with its own warm process.

    Raises:
        InputError: A finished stage ran another command, or data or weights made again differ from those of the
            task's finished cells.
        CommandFailedError: A command failed.
    """
    layout = layout_of(benchmark, cell.task)
    log = benchmark.root / "logs" / f"{cell.key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        console = Console(file=file, width=120)
        environment = os.environ | shared_variables(benchmark.threads)
        warm = start_warm(environment, log.with_suffix(".warm.log")) if launcher is None else nullcontext(launcher)
        with warm as chosen:
            run_stages(
                stages(benchmark, cell, missing_protocols(benchmark, cell)),
                layout.root,
                console,
                environment,
                guard=partial(stage_lock, layout, console),
                launcher=chosen,
            )
    write_json(cell_file(benchmark, cell), collect(benchmark, cell))
    return cell_file(benchmark, cell)


@contextmanager
def stage_lock(layout: RunLayout, console: Console, stage: Stage) -> Iterator[tuple[int, ...]]:
    """Lock a stage for this process and the command that it starts.

    The command inherits the lock: if this process is killed and its command survives, a resumed run waits for that
    command to end instead of writing into the same folder. The kernel releases a dead process's locks.
    """
    path = layout.root / "stages" / f"{stage.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"{stage.title}: waiting for another process that is running it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield (file.fileno(),)


def collect(benchmark: Benchmark, cell: Cell) -> dict[str, Any]:
    """Gather everything about a cell whose stages have finished, JSON-compatible.

    Returns:
        The cell's identity; by protocol the outcome of every episode and the rate; distances, latency, and provenance:
        commands, times, hashes of data and weights, versions, commit, machine. Other protocols already in its file are
        kept.

    Raises:
        InputError: Its file was made with other data or weights.
    """
    layout, method = layout_of(benchmark, cell.task), METHODS[cell.method]
    before = finished_cell(benchmark, cell) or {"protocols": {}, "stages": [], "commit": None}
    missing = missing_protocols(benchmark, cell)
    done = {record["stage"]: record for record in stage_records(layout.root)}
    records = {record["stage"]: record for record in before["stages"]}
    added = {stage.name: done[stage.name] for stage in stages(benchmark, cell, missing)}
    records |= added
    # A run that is resumed later may have stages of several commits.
    commits = {record["commit"] or source_commit() for record in added.values()}
    commits |= set((before["commit"] or "").split(", "))
    runs = {run: run_name(run, cell.seed) for run in trainings(cell.method)}
    found = {
        "cell": cell.key,
        "task": cell.task.name,
        "level": cell.task.level,
        "method": cell.method,
        "training_seed": cell.seed,
        **benchmark.settings(),
        "cloud": benchmark.cloud(cell.task),
        "expert": benchmark.task_config(cell.task).expert if benchmark.data is None else None,
        "protocols": before["protocols"] | {name: _measured(benchmark, cell, name) for name in missing},
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
        "stages": list(records.values()),
        "versions": versions(),
        "commit": ", ".join(sorted(filter(None, commits))) or None,
    }
    check_shared([before, found] if before["protocols"] else [found])
    return found


def _measured(benchmark: Benchmark, cell: Cell, protocol: str) -> dict[str, Any]:
    """Results of a cell's evaluations by a protocol."""
    layout, config = layout_of(benchmark, cell.task), benchmark.task_config(cell.task)
    evaluated = [
        {
            "step": item.step,
            "seeds": [item.seed, item.seed + item.episodes - 1],
            "successes": evaluated_successes(layout.evaluation(item.row.key, item.rule)),
        }
        for item in evaluations(benchmark, cell, protocol)
    ]
    return {
        "rules": config.other_rules.get(protocol, {}),
        "evaluations": evaluated,
        "score": score([item["successes"] for item in evaluated], benchmark.rules(protocol).best),
        "fingerprint": fingerprint(benchmark, cell, protocol),
    }


def fingerprint(benchmark: Benchmark, cell: Cell, protocol: str) -> str:
    """Hash of everything that determines a cell's outcomes by a protocol: its stages, except those that only check."""
    root = layout_of(benchmark, cell.task).root
    decisive = [stage for stage in stages(benchmark, cell, (protocol,)) if stage.command or stage.settings]
    return hashlib.sha256(json.dumps([stage.fingerprint(root) for stage in decisive]).encode()).hexdigest()
