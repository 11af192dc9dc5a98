"""Which cell runs next: no two at once that need the same unfinished training."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lerobot_sdm.measure.benchmark import Cell
from lerobot_sdm.measure.engines import Job

POLL_SECONDS = 0.2


@dataclass
class CellOutcomes:
    """What became of the cells.

    Args:
        finished: Cells with their file.
        failed: Cells that ended with an error, and the error.
        skipped: Cells that were not tried, since they need a stage that failed.
    """

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
    """Run cells, as many at once as allowed, each as soon as no running one does part of its work.

    One that fails does not stop the others, but those that need what failed are not tried.

    Args:
        cells: What to run, the first ones first.
        needs: The unfinished stages of a cell, by name.
        submit: Starts a cell.
        jobs: How many run at once.
        tell: Called with a cell and what has just happened to it.
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
                broken |= _finish(cell, job, needs, outcome, tell)
    except BaseException:
        for job, _ in running.values():
            job.cancel()
        raise
    return outcome


def _first_done(running: dict[Cell, tuple[Job, set[str]]]) -> list[Cell]:
    """Wait until a running cell is done; none where none runs."""
    while running:
        if done := [cell for cell, (job, _) in running.items() if job.done()]:
            return done
        time.sleep(POLL_SECONDS)
    return []


def _finish(
    cell: Cell, job: Job, needs: Callable[[Cell], set[str]], outcome: CellOutcomes, tell: Callable[[Cell, str], None]
) -> set[str]:
    """Note what became of a cell; returns the stages that no other one shall try again."""
    try:
        job.result()
    except Exception as error:
        outcome.failed.append((cell, error))
        tell(cell, "failed")
        return needs(cell)
    outcome.finished.append(cell)
    tell(cell, "finished")
    return set()
