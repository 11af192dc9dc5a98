"""Schedule cells so that no two running ones need the same unfinished training."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lerobot_sdm.measure.benchmark import Cell
from lerobot_sdm.measure.engines import Job

POLL_SECONDS = 0.2


@dataclass
class CellOutcomes:
    """Cells that have finished, that failed, with their errors, and that were skipped, as they need a failed stage."""

    finished: list[Cell] = field(default_factory=list)
    failed: list[tuple[Cell, BaseException]] = field(default_factory=list)
    skipped: list[Cell] = field(default_factory=list)


def run_all(
    cells: Sequence[Cell],
    needs: Callable[[Cell], set[str]],
    submit: Callable[[Cell], Job],
    jobs: int,
    tell: Callable[[Cell, str], None],
) -> CellOutcomes:
    """Run cells in parallel, each as soon as no running cell does part of its work.

    A failed cell does not stop the others, but cells that need what failed are skipped.

    Args:
        cells: Cells to run, in order of priority.
        needs: The unfinished stages of a cell, by name.
        submit: Starts a cell.
        jobs: How many run in parallel.
        tell: Called with a cell and its latest event.
    """
    waiting, outcome = list(cells), CellOutcomes()
    running: dict[Cell, tuple[Job, set[str]]] = {}
    broken: set[str] = set()
    try:
        while waiting or running:
            for cell in list(waiting):
                if len(running) == jobs:
                    break
                wanted = needs(cell)
                if wanted & broken:
                    waiting.remove(cell)
                    outcome.skipped.append(cell)
                    tell(cell, "skipped")
                elif not any(wanted & busy for _, busy in running.values()):
                    waiting.remove(cell)
                    running[cell] = (submit(cell), wanted)
                    tell(cell, "started")
            for cell in _first_done(running):
                job, _ = running.pop(cell)
                try:
                    job.result()
                except Exception as error:
                    outcome.failed.append((cell, error))
                    tell(cell, "failed")
                    broken |= needs(cell)  # What other cells must not retry.
                else:
                    outcome.finished.append(cell)
                    tell(cell, "finished")
    except BaseException:
        for job, _ in running.values():
            job.cancel()
        raise
    return outcome


def _first_done(running: dict[Cell, tuple[Job, set[str]]]) -> list[Cell]:
    """Wait until a running cell is done; returns none if none is running."""
    while running:
        if done := [cell for cell, (job, _) in running.items() if job.done()]:
            return done
        time.sleep(POLL_SECONDS)
    return []
