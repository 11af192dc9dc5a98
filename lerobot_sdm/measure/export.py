"""From a benchmark that may still run to results that can be kept: the cells of whole tasks, without trainings."""

from pathlib import Path
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.benchmark import Benchmark
from lerobot_sdm.measure.files import read_json, write_json
from lerobot_sdm.measure.stages import claim_folder

PLAN = "plan.json"
"""Every cell that was ever asked of a folder and its protocols: which tasks are whole depends on it."""


def remember_plan(benchmark: Benchmark) -> None:
    """Add what a call asks for to what earlier ones have asked of the folder."""
    path = benchmark.root / PLAN
    plan: dict[str, list[str]] = read_json(path) if path.exists() else {}
    for cell in benchmark.cells():
        asked = plan.get(cell.key, [])
        plan[cell.key] = asked + [name for name in benchmark.protocols_of(cell.method) if name not in asked]
    write_json(path, plan)


def export(root: Path, output: Path) -> list[str]:
    """Copy the cells of the tasks that are whole, and the settings, to another folder. Cells of other tasks that are
    there already stay.

    Args:
        root: Folder of a benchmark; one may be running there.
        output: A new or an empty folder, or that of an earlier export of the same benchmark.

    Returns:
        Names of the tasks that are whole.

    Raises:
        InputError: No task is whole, or the other folder is something else.
    """
    if not (root / "settings.json").exists() or not (root / PLAN).exists():
        raise InputError(f"--render={root}: is no folder of `lerobot-sdm benchmark`. Give one that it has written.")
    if output.resolve() == root.resolve():
        raise InputError(
            f"--output={output}: is the benchmark's own folder. Leave --output out to write the page there."
        )
    cells = {path.stem: read_json(path) for path in sorted((root / "cells").glob("*.json"))}
    tasks = whole_tasks(read_json(root / PLAN), cells)
    if not tasks:
        raise InputError(
            f"--render={root}: no task has all that was asked of it yet. Wait until the first one has, or leave "
            "--output out to see what there is."
        )
    claim_folder(output, read_json(root / "settings.json"))
    for name, cell in cells.items():
        if cell["task"] in tasks:
            write_json(output / "cells" / f"{name}.json", cell)
    return tasks


def whole_tasks(plan: dict[str, list[str]], cells: dict[str, dict[str, Any]]) -> list[str]:
    """The tasks of which every cell that was asked for has been measured by every protocol that was asked for.

    Args:
        plan: Cells' names -> protocols.
        cells: Cells' names -> what their files say.
    """
    whole: dict[str, bool] = {}
    for name, protocols in plan.items():
        done = name in cells and set(protocols) <= set(cells[name]["protocols"])
        task = name.partition(".")[0]
        whole[task] = whole.get(task, True) and done
    return [task for task, done in whole.items() if done]
