"""Which cells run at once, with real threads; on which GPU; and that a stage is held by one process."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console
from run_command import run_command

from lerobot_sdm.measure.benchmark import Cell
from lerobot_sdm.measure.cell import stage_lock
from lerobot_sdm.measure.engines import Engine
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.schedule import CellOutcomes, run_all
from lerobot_sdm.measure.stages import Stage
from lerobot_sdm.measure.suites import SuiteTask

REACH, PUSH = SuiteTask("metaworld_pc", "reach", "easy"), SuiteTask("metaworld_pc", "push", "hard")
CELLS = [Cell(task, method, 1) for method in ("dp3-10", "sdm") for task in (REACH, PUSH)]


class Work:
    """Cells that need their task's teacher and one stage of their own; no two may work on the same at once.

    Args:
        jobs: How many cells run at once.
        broken: A stage that fails.
    """

    def __init__(self, jobs: int, broken: str = ""):
        self.jobs, self.broken, self.done, self.told = jobs, broken, set(), []
        self.running, self.lock = [], threading.Lock()
        # Two teachers do run at once where two jobs may: each waits for the other.
        self.meeting = threading.Barrier(min(jobs, 2), timeout=60)

    def needs(self, cell: Cell) -> set[str]:
        return {f"{cell.task.name}/teacher", cell.key} - self.done

    def do(self, cell: Cell) -> None:
        with self.lock:
            needed = self.needs(cell)
            assert not any(needed & other for other in self.running)
            self.running.append(needed)
            assert len(self.running) <= self.jobs
        if cell.method == "dp3-10":
            self.meeting.wait()
        with self.lock:
            self.running.remove(needed)
            for stage in (f"{cell.task.name}/teacher", cell.key):
                if stage == self.broken:
                    raise RuntimeError(f"{stage} is broken")
                self.done.add(stage)

    def run(self) -> CellOutcomes:
        with ThreadPoolExecutor(8) as pool:
            return run_all(
                CELLS,
                self.needs,
                lambda cell: pool.submit(self.do, cell),
                self.jobs,
                lambda cell, what: self.told.append((cell.key, what)),
            )


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_side_by_side_without_doing_a_thing_twice(jobs):
    work = Work(jobs)
    outcome = work.run()
    assert sorted(cell.key for cell in outcome.finished) == sorted(cell.key for cell in CELLS)
    assert not outcome.failed
    assert [what for _, what in work.told].count("started") == 4


def test_a_failure_stops_only_what_needs_it():
    outcome = Work(2, broken="reach/teacher").run()
    assert [cell.key for cell in outcome.finished] == ["push.dp3-10.seed1", "push.sdm.seed1"]
    assert [(cell.key, str(error)) for cell, error in outcome.failed] == [
        ("reach.dp3-10.seed1", "reach/teacher is broken")
    ]
    assert [cell.key for cell in outcome.skipped] == ["reach.sdm.seed1"]


def test_a_failure_of_its_own_does_not_stop_others_of_the_task():
    outcome = Work(1, broken="reach.dp3-10.seed1").run()
    assert [cell.key for cell, _ in outcome.failed] == ["reach.dp3-10.seed1"]
    assert not outcome.skipped


def gpu_of_a_command(folder: Path) -> str:
    """What a command of this worker sees, once three workers have asked theirs."""
    script = "import os; print('sees', os.environ['CUDA_VISIBLE_DEVICES'])"
    log = folder / f"{os.getpid()}.log"
    run_command((sys.executable, "-c", script), log, Console(file=io.StringIO()), dict(os.environ))
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.log"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    return log.read_text().split()[-1]


def test_cells_are_spread_over_gpus(tmp_path):
    """Whoever works at the same time sees another GPU, as long as there are enough."""
    with Engine(jobs=3, gpus=("0", "3")).started(tmp_path) as submit:
        jobs = [submit(gpu_of_a_command, tmp_path) for _ in range(3)]
        assert sorted(job.result() for job in jobs) == ["0", "0", "3"]


HOLDER = """
import sys, os
from functools import partial
from pathlib import Path
from rich.console import Console
from lerobot_sdm.measure.cell import stage_lock
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.runner import run_stages
from lerobot_sdm.measure.stages import Stage
root = Path(sys.argv[1])
sleeper = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
stage = Stage("train", "Train", root / "made", (sys.executable, "-c", sleeper, str(root / "pid")))
run_stages([stage], root, Console(), dict(os.environ), guard=partial(stage_lock, RunLayout(root), Console()))
"""


def test_a_killed_workers_command_holds_its_stage(tmp_path):
    """Whoever continues must not write into a folder into which a command without parent still writes."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    holder.kill()
    holder.wait()
    orphan = int((tmp_path / "pid").read_text())

    console = Console(file=io.StringIO())
    took = threading.Event()

    def take() -> None:
        with stage_lock(RunLayout(tmp_path), console, Stage("train", "Train", tmp_path)):
            took.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not took.wait(0.5)
    os.kill(orphan, signal.SIGKILL)
    assert took.wait(10)
    thread.join()
    assert "waiting for another process" in console.file.getvalue()


def test_a_command_lets_go_when_it_ends(tmp_path):
    """The lock is the stage's, not the worker's: it is free again for other cells."""
    stage = Stage("train", "Train", tmp_path)
    for _ in range(2):
        with stage_lock(RunLayout(tmp_path), Console(file=io.StringIO()), stage) as inherited:
            command = (sys.executable, "-c", "print('done')")
            run_command(command, tmp_path / "log", Console(file=io.StringIO()), dict(os.environ), inherited=inherited)
    assert (tmp_path / "log").read_text().count("done\n") == 2
