"""Export a benchmark, even a running one: the cells of complete tasks, without trainings."""

from pathlib import Path
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import json_files, read_json, write_json
from lerobot_sdm.measure.benchmark import Benchmark
from lerobot_sdm.measure.benchmark_experts import FOLDER, experts_of
from lerobot_sdm.measure.stages import claim_folder

PLAN = "plan.json"
"""Every cell ever requested in a folder, with its protocols: it decides which tasks are complete."""


def remember_plan(benchmark: Benchmark) -> None:
    """Add the requested cells to those that earlier calls requested in the folder."""
    path = benchmark.root / PLAN
    plan: dict[str, list[str]] = read_json(path) if path.exists() else {}
    for cell in benchmark.cells():
        asked = plan.get(cell.key, [])
        plan[cell.key] = asked + [name for name in benchmark.protocols_of(cell.method) if name not in asked]
    write_json(path, plan)


def export_benchmark(root: Path, output: Path) -> list[str]:
    """Copy the cells of complete tasks, and the settings, to another folder. Cells of other tasks already there stay.

    Args:
        root: Folder of a benchmark; one may be running there.
        output: A new or empty folder, or one of an earlier export of the same benchmark.

    Returns:
        Names of the complete tasks.

    Raises:
        InputError: No task is complete, or the output folder holds something else.
    """
    if not (root / "settings.json").exists() or not (root / PLAN).exists():
        raise InputError(f"--render={root}: not a folder of `lerobot-sdm benchmark`. Give one that it wrote.")
    if output.resolve() == root.resolve():
        raise InputError(f"--output={output}: is the benchmark's own folder. Drop --output to write the page there.")
    cells = {path.stem: read_json(path) for path in json_files(root / "cells")}
    tasks = whole_tasks(read_json(root / PLAN), cells)
    if not tasks:
        raise InputError(
            f"--render={root}: no task is complete yet. Wait for the first one, or drop --output to see the partial "
            "results."
        )
    claim_folder(output, read_json(root / "settings.json"))
    for name, cell in cells.items():
        if cell["task"] in tasks:
            write_json(output / "cells" / f"{name}.json", cell)
    for task, expert in experts_of(root).items():
        if task in tasks:
            write_json(output / FOLDER / f"{task}.json", expert)
    return tasks


def whole_tasks(plan: dict[str, list[str]], cells: dict[str, dict[str, Any]]) -> list[str]:
    """The tasks whose requested cells have all been measured by every requested protocol.

    Both arguments are by cells' names: the protocols, and the content of the files.
    """
    whole: dict[str, bool] = {}
    for name, protocols in plan.items():
        done = name in cells and set(protocols) <= set(cells[name]["protocols"])
        task = name.partition(".")[0]
        whole[task] = whole.get(task, True) and done
    return [task for task, done in whole.items() if done]
