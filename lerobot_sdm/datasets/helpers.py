"""Runs attempts in a fixed order, and in helper processes where that saves time; resumes an interrupted run."""

import multiprocessing
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from lerobot_sdm.datasets.driving import Driver, Setting
from lerobot_sdm.datasets.episodes import Attempt, Episode, attempts
from lerobot_sdm.datasets.processes import call, prepare_worker

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
    """A pool of processes that run attempts. Created before this process opens graphics, it forks if it can."""

    def __init__(self, count: int, setting: Setting, folder: Path):
        self.count = count
        self._recording = setting, folder
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
        future = self._pool.submit(call, _drive, (), attempt)
        self._driven.append(future)
        return future

    def close(self) -> None:
        """Shut the pool down after the running attempts."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self, method: str) -> None:
        context = multiprocessing.get_context(method)
        self._pool = ProcessPoolExecutor(self.count, context, prepare_worker, (self._recording,))
        self._pool.submit(os.getpid)  # The first task forks all processes.


def outcomes(driver: Driver, helpers: Helpers, wanted: Callable[[], int]) -> Iterator[Episode]:
    """The outcomes of all attempts in order, without end; their frames are in the driver's folder.

    Attempts whose files exist are not driven again. Order and content of the outcomes do not depend on the process
    that drives an attempt.

    Args:
        driver: Drives attempts in this process; knows what to record and where to store it.
        helpers: Other processes that drive attempts, once that saves time.
        wanted: Returns the least number of outcomes that are still needed; no attempt beyond it is driven early.
    """
    todo = attempts(driver.setting.seed, driver.setting.expert_class.variants)
    ahead: deque[Episode | Future[Episode]] = deque()
    driven, seconds = 0, 0.0
    while True:
        left = max(wanted(), 1) - len(ahead)
        if ahead and (left <= 0 or not isinstance(ahead[0], Future) or ahead[0].done()):
            first = ahead.popleft()
            yield first.result() if isinstance(first, Future) else first
            continue
        attempt = next(todo)
        if stored := driver.stored(attempt):
            ahead.append(stored)
        elif driven and helpers.pay(left, seconds / driven) and helpers.are_free():
            ahead.append(helpers.drive(attempt))
        else:
            since = time.perf_counter()
            ahead.append(driver.run(attempt))
            driven, seconds = driven + 1, seconds + time.perf_counter() - since


_driver: Driver | None = None


def _drive(recording: tuple[Setting, Path], attempt: Attempt) -> Episode:
    """Run an attempt in a helper process, which opens graphics for its first one."""
    global _driver
    if _driver is None:
        _driver = Driver(*recording)
    return _driver.run(attempt)
