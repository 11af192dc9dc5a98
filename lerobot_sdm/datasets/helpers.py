"""Helper processes that run attempts in parallel with this one, where that saves time."""

import multiprocessing
import os
import sys
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from lerobot_sdm.datasets.driving import Driver, Setting
from lerobot_sdm.datasets.episodes import Attempt, Episode
from lerobot_sdm.datasets.processes import die_with_parent

FORKED_SECONDS = 2.0
"""Startup time of a forked process, which must open its own graphics context."""

SPAWNED_SECONDS = 20.0
"""Startup time of a spawned process, which also imports everything."""

ATTEMPTS_AHEAD = 2
"""Attempts queued per helper, so that it does not wait for this process to notice that it has finished."""


def may_fork() -> bool:
    """Whether forks of this process would work: it has no other thread, and no graphics context is open."""
    if "fork" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        return False
    egl = sys.modules.get("mujoco.egl")
    return threading.active_count() == 1 and _native_threads() == 1 and getattr(egl, "EGL_DISPLAY", None) is None


def _native_threads() -> int:
    """Threads of this process that a fork would lose, except pyarrow's allocator thread, which survives a fork."""
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return 1
    return sum((task / "comm").read_text().strip() != "jemalloc_bg_thd" for task in tasks.iterdir())


class Helpers:
    """A pool of processes that run attempts. Created before this process opens graphics, it forks if that is possible.

    Args:
        count: Number of processes.
        setting: Settings of the recording.
        folder: Folder for the attempts.
    """

    def __init__(self, count: int, setting: Setting, folder: Path):
        self.count = count
        self._arguments = setting, folder
        self._pool: ProcessPoolExecutor | None = None
        self._driven: list[Future] = []
        self.start_seconds = SPAWNED_SECONDS
        if count and may_fork():
            self.start_seconds = FORKED_SECONDS
            self._start("fork")

    def pay(self, attempts: int, seconds: float) -> bool:
        """Whether helpers finish the remaining `attempts` sooner, at `seconds` per attempt."""
        if not self.count:
            return False
        starts = self.start_seconds if not self._driven else 0.0
        return attempts > 1 and attempts * seconds * self.count / (self.count + 1) > starts

    def are_free(self) -> bool:
        """Whether they can take another attempt."""
        self._driven = [future for future in self._driven if not future.done()] or self._driven[-1:]
        return sum(not future.done() for future in self._driven) < ATTEMPTS_AHEAD * self.count

    def drive(self, attempt: Attempt) -> "Future[Episode]":
        """Submit an attempt to the pool."""
        if self._pool is None:
            self._start("spawn")
        future = self._pool.submit(_drive, attempt)
        self._driven.append(future)
        return future

    def close(self) -> None:
        """Shut the pool down after the running attempts."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self, method: str) -> None:
        context = multiprocessing.get_context(method)
        self._pool = ProcessPoolExecutor(self.count, context, _prepare, self._arguments)
        self._pool.submit(os.getpid)  # The first task forks all processes.


_arguments: tuple[Setting, Path]
_driver: Driver | None = None


def _prepare(setting: Setting, folder: Path) -> None:
    """Initialize a helper process; graphics open on first use."""
    global _arguments
    die_with_parent()
    _arguments = setting, folder


def _drive(attempt: Attempt) -> Episode:
    global _driver
    if _driver is None:
        _driver = Driver(*_arguments)
    return _driver.run(attempt)
