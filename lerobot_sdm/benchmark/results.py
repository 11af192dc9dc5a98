"""All finished cells of a folder, gathered; and the numbers of the summary."""

from pathlib import Path
from statistics import median
from typing import Any

from lerobot_sdm.benchmark.methods import METHODS
from lerobot_sdm.benchmark.scores import difference, pooled
from lerobot_sdm.benchmark.suites import LEVELS, SUITES
from lerobot_sdm.errors import InputError
from lerobot_sdm.pipeline.files import read_json


def gather(root: Path) -> dict[str, Any]:
    """Everything that a benchmark's folder holds.

    Args:
        root: The folder.

    Returns:
        `settings`; `cells`, in the order of suite, methods and seeds; `compared`, the tasks that have all methods and
        seeds that occur; `summary`, one entry for each method.

    Raises:
        InputError: No benchmark's folder, no cell has finished, or cells of a task rest on different trainings.
    """
    if not (root / "settings.json").exists() or not (root / "cells").is_dir():
        raise InputError(f"{root}: holds no finished cell of a benchmark. Run `lerobot-sdm benchmark --output={root}`.")
    settings = read_json(root / "settings.json")
    order = [task.name for task in SUITES[settings["suite"]]]
    cells = sorted(
        (read_json(path) for path in (root / "cells").glob("*.json")),
        key=lambda cell: (order.index(cell["task"]), list(METHODS).index(cell["method"]), cell["training_seed"]),
    )
    check_shared(cells)
    tasks = complete_tasks(cells)
    return {"settings": settings, "cells": cells, "compared": tasks, "summary": summarise(cells, tasks)}


def check_shared(cells: list[dict[str, Any]]) -> None:
    """Make sure that the cells of a task rest on the same demonstrations and trainings: a student is held against the
    very teacher that it learned from. A training repeated on another processor ends with other weights.

    Raises:
        InputError: They do not.
    """
    seen: dict[tuple[str, int, str], tuple[str, str]] = {}
    for cell in cells:
        for name, value in cell["hashes"].items():
            other, known = seen.setdefault((cell["task"], cell["training_seed"], name), (cell["cell"], value))
            if value != known:
                raise InputError(
                    f"cells {other} and {cell['cell']} rest on different weights or data ('{name}'), so that their "
                    f"difference says nothing. Delete the cells of {cell['task']} that come from elsewhere, and run "
                    "the benchmark again."
                )


def complete_tasks(cells: list[dict[str, Any]]) -> list[str]:
    """Tasks with a cell for every method and every seed that occur: only over these can methods be compared."""
    rows = {(cell["method"], cell["training_seed"]) for cell in cells}
    tasks = list(dict.fromkeys(cell["task"] for cell in cells))
    return [
        task
        for task in tasks
        if {(cell["method"], cell["training_seed"]) for cell in cells if cell["task"] == task} == rows
    ]


def summarise(cells: list[dict[str, Any]], tasks: list[str]) -> list[dict[str, Any]]:
    """One entry for each method over the given tasks.

    Returns:
        `method`, `label`, `teacher`; `levels`, success of each level; `all`, of all tasks; `difference`, episode by
        episode to the teacher, where its cells are there too; `energy`, distance to the teacher, `ms`, `teacher_ms` and
        `network_evaluations`, medians over cells.
    """
    kept = [cell for cell in cells if cell["task"] in tasks]
    entries = []
    for key, method in METHODS.items():
        mine = [cell for cell in kept if cell["method"] == key]
        if not mine:
            continue
        teachers = [cell for cell in kept if cell["method"] == method.teacher]
        groups = {level: [cell for cell in mine if cell["level"] == level] for level in LEVELS}
        entries.append(
            {
                "method": key,
                "label": method.label,
                "teacher": method.teacher,
                "levels": {level: pooled(group) for level, group in groups.items() if group},
                "all": pooled(mine),
                "difference": difference(mine, teachers) if teachers and key != method.teacher else None,
                # One task that nobody has learned can be as far away as all others together.
                "energy": median(cell["distance_to_teacher"]["energy"]["estimate"] for cell in mine),
                "ms": median(cell["latency"]["median_ms"] for cell in mine),
                "teacher_ms": median(cell["teacher_latency"]["median_ms"] for cell in mine),
                "network_evaluations": median(cell["latency"]["network_evaluations"] for cell in mine),
            }
        )
    return entries
