"""Produces episodes in a fixed order with any number of processes, and resumes an interrupted run."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from lerobot_sdm.datasets.driving import Driver
from lerobot_sdm.datasets.episodes import Episode, attempts
from lerobot_sdm.datasets.helpers import Helpers


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
        while ahead and _is_known(ahead[0]):
            first = ahead.popleft()
            yield first.result() if isinstance(first, Future) else first
        left = max(wanted(), 1) - len(ahead)
        if left <= 0:
            first = ahead.popleft()
            yield first.result()
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


def _is_known(outcome: "Episode | Future[Episode]") -> bool:
    return not isinstance(outcome, Future) or outcome.done()
