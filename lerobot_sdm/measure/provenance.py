"""Provenance of a task's cells: hashes of data and weights, taken when they are made and checked when remade.

A folder may lose its trainings and keep its cells. New cells of the same task then need the teacher again: the same
commands give the same bits on the same kind of processor, but not on another. A table never mixes rows made from
different teachers.
"""

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import json_files, read_json, sha256, write_json
from lerobot_sdm.measure.methods import METHODS, RUNS, trainings
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.records import machine
from lerobot_sdm.measure.stages import Stage

RESUMING = ("training_state", "pretrained_model/training_state.safetensors")
"""Parts of a checkpoint needed only for resuming: LeRobot's, and the policy's own."""


def run_name(run: str, seed: int) -> str:
    """Folder of a training or, for a method, the key of its files."""
    return f"{run}_seed{seed}"


def data_hash(dataset: Path) -> str:
    """SHA-256 of a dataset's rows: its data files in order of their names."""
    digest = hashlib.sha256()
    for path in sorted(dataset.glob("data/**/*.parquet")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def weights_hash(layout: RunLayout, run: str) -> str:
    """SHA-256 of the weights of a training's last checkpoint."""
    return sha256(layout.checkpoint(run) / "model.safetensors")


def check_data_stages(cells: Path, task: str, layout: RunLayout) -> list[Stage]:
    """The stages that follow recording, one for each dataset; `cells` is the folder of the finished cells."""
    return [
        Stage(
            stage,
            title,
            # In the dataset's own folder, so that recording it again also repeats the check.
            dataset / "hashes.json",
            function=partial(_check_data, cells, task, layout, name, dataset),
        )
        for stage, title, name, dataset in (
            ("check_data", "Check demonstrations", "demonstrations", layout.demonstrations),
            ("check_held_out", "Check held-out demonstrations", "held_out", layout.held_out),
        )
    ]


def check_training_stage(cells: Path, task: str, layout: RunLayout, run: str, seed: int) -> Stage:
    """The stage that follows a training, one of `methods.RUNS`: it deletes what only resuming needs, and compares the
    weights with those that the finished cells in the folder `cells` rest on."""
    name = run_name(run, seed)
    # In the training's own folder, so that deleting and repeating a training also repeats the check.
    output = layout.training(name) / "hashes.json"
    function = partial(_check_training, cells, task, layout, run, seed, output)
    return Stage(f"check_{name}", f"Check {run}", output, function=function)


def drop_resuming(training: Path) -> None:
    """Delete what only resuming needs from all but the last checkpoint of a finished training."""
    checkpoints = training / "checkpoints"
    last = (checkpoints / "last").resolve()
    for checkpoint in checkpoints.glob("[0-9]*"):
        if checkpoint.resolve() == last:
            continue
        for part in (checkpoint / name for name in RESUMING):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def check_shared(cells: list[dict[str, Any]]) -> None:
    """Check that a task's cells use the same demonstrations and trainings, so that a student is compared with the
    teacher it was distilled from. A training repeated on another processor ends with other weights.

    Raises:
        InputError: They differ.
    """
    seen: dict[tuple[str, int, str], tuple[str, str]] = {}
    for cell in cells:
        for name, value in cell["hashes"].items():
            other, known = seen.setdefault((cell["task"], cell["training_seed"], name), (cell["cell"], value))
            if value != known:
                raise InputError(
                    f"cells {other} and {cell['cell']} use different weights or data ('{name}'), so their difference "
                    f"is meaningless. Delete the cells of {cell['task']} that come from elsewhere, and rerun the "
                    "benchmark."
                )


def _check_data(cells: Path, task: str, layout: RunLayout, name: str, dataset: Path) -> None:
    found = {name: data_hash(dataset)}
    _compare(cells, task, None, layout, found)
    write_json(dataset / "hashes.json", found)


def _check_training(cells: Path, task: str, layout: RunLayout, run: str, seed: int, output: Path) -> None:
    name = run_name(run, seed)
    drop_resuming(layout.training(name))
    found = {run: weights_hash(layout, name)}
    _compare(cells, task, seed, layout, found)
    remembered = layout.root / "weights" / f"{name}.json"
    if remembered.exists() and read_json(remembered) != found:
        _forget_dependents(layout, run, seed)
    write_json(remembered, found)
    write_json(output, found)


def _compare(cells: Path, task: str, seed: int | None, layout: RunLayout, found: dict[str, str]) -> None:
    """Compare hashes with those of the task's finished cells.

    Args:
        seed: Only cells of this training seed; None for all.
        found: Hashes of what was made now, by name.

    Raises:
        InputError: They differ. Both hashes are kept in `differs.json` of the task's folder.
    """
    others = {}
    for cell in map(read_json, sorted(cells.glob(f"{task}.*.json"))):
        known = {name: value for name, value in cell["hashes"].items() if name in found and value != found[name]}
        if known and seed in (None, cell["training_seed"]):
            others[cell["cell"]] = known
    if not others:
        return
    differs = layout.root / "differs.json"
    write_json(differs, {"made_now": found, "cells_rest_on": others, "machine": machine()})
    name, before = next(iter(next(iter(others.values())).items()))
    raise InputError(
        f"--output={cells.parent}: '{name}' of {task}, made again, has SHA-256 {found[name][:12]}..., but the finished "
        f"cells of that task used {before[:12]}..., as happens on another processor (see {differs}). New rows are not "
        f"comparable with them. Resume on the machine that made those, or delete {', '.join(sorted(others))} to redo "
        "all rows of the task."
    )


def _forget_dependents(layout: RunLayout, run: str, seed: int) -> None:
    """Mark everything that depends on a training as unfinished, because its weights have changed."""
    markers = json_files(layout.root / "stages")
    for method in (name for name in METHODS if run in trainings(name)):
        name = run_name(method, seed)
        for marker in markers:
            if marker.stem in (f"evaluate_{name}", f"measure_{name}") or marker.stem.startswith(f"evaluate_{name}_"):
                marker.unlink(missing_ok=True)
    for student in RUNS:
        if RUNS[student].source == run:
            name = run_name(student, seed)
            for stage in ("train", "check"):
                (layout.root / "stages" / f"{stage}_{name}.json").unlink(missing_ok=True)
            shutil.rmtree(layout.training(name), ignore_errors=True)
