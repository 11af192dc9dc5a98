"""Run a benchmark from its first cell to its page."""

import os
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lerobot_sdm.files import json_files, write_json, write_text
from lerobot_sdm.measure import summaries
from lerobot_sdm.measure.benchmark import Benchmark, Cell
from lerobot_sdm.measure.benchmark_experts import measure_experts
from lerobot_sdm.measure.benchmark_export import remember_plan
from lerobot_sdm.measure.benchmark_page import page, pictures
from lerobot_sdm.measure.benchmark_plots import draw
from lerobot_sdm.measure.cell import missing_protocols, run_cell, unfinished_stages
from lerobot_sdm.measure.commands import CommandFailedError
from lerobot_sdm.measure.engines import Engine
from lerobot_sdm.measure.runner import shared_variables, start_warm
from lerobot_sdm.measure.schedule import CellOutcomes, run_all
from lerobot_sdm.measure.stages import claimed_folder

STYLES = {"finished": "green", "failed": "red", "skipped": "yellow"}


def run_benchmark(benchmark: Benchmark, engine: Engine, console: Console, with_expert: bool = False) -> CellOutcomes:
    """Run the unfinished cells, and rewrite the page.

    Args:
        benchmark: The benchmark; its folder is new, empty, or from an earlier call with the same settings.
        with_expert: Whether to measure the tasks' experts, too, after the cells.

    Raises:
        InputError: The folder belongs to something else, or is in use by another call.
        CommandFailedError: A worker was killed.
    """
    root = benchmark.root
    with claimed_folder(root, benchmark.settings()):
        cells = benchmark.cells()
        left = [cell for cell in cells if missing_protocols(benchmark, cell)]
        for cell in left:  # Refuses stages of another version now, not in hours.
            unfinished_stages(benchmark, cell)
        remember_plan(benchmark)
        console.print(f"{len(cells)} cells, {len(cells) - len(left)} finished before; logs in {root / 'logs'}")
        outcome = _run(benchmark, left, engine, console) if left else CellOutcomes()
        if with_expert:
            measure_experts(benchmark, console)
        if json_files(root / "cells"):
            render(root)
    return outcome


def render(root: Path) -> dict[str, Any]:
    """Write `results.json`, `results.md` and the pictures from the finished cells of a folder.

    Raises:
        InputError: There are none.
    """
    results = summaries.gather(root)
    for name in pictures(results):
        draw(name, results, root)
    write_text(root / "results.md", page(results))
    # Provenance stays in the cells' own files; all commands would make this file too long to keep in git.
    cells = [{key: value for key, value in cell.items() if key != "stages"} for cell in results["cells"]]
    write_json(root / "results.json", results | {"cells": cells})
    return results


def _run(benchmark: Benchmark, left: list[Cell], engine: Engine, console: Console) -> CellOutcomes:
    variables, log = os.environ | shared_variables(benchmark.threads), benchmark.root / "logs" / "warm_process.log"
    # One warm process for all local cells; cells on other machines start their own.
    warm = start_warm(variables, log) if engine.name == "local" else nullcontext()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with (
        Progress(*columns, console=console) as progress,
        warm as launcher,
        engine.started(benchmark.root) as submit,
    ):
        bar = progress.add_task("cells", total=len(left))

        def tell(cell: Cell, what: str) -> None:
            console.print(f"{what} {cell.key}", style=STYLES.get(what), highlight=False)
            if what != "started":
                progress.advance(bar)

        try:
            return run_all(
                left,
                needs=partial(unfinished_stages, benchmark),
                submit=partial(submit, run_cell, benchmark, launcher),
                jobs=engine.jobs,
                tell=tell,
            )
        except BrokenProcessPool as error:
            raise CommandFailedError("A worker process was killed; memory may have run out.") from error
