"""Producing episodes in a fixed order with any number of processes, and going on where an earlier run stopped."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from lerobot_sdm.datasets.driving import Driver
from lerobot_sdm.datasets.episodes import Episode, attempts
from lerobot_sdm.datasets.helpers import Helpers


def outcomes(driver: Driver, helpers: Helpers, wanted: Callable[[], int]) -> Iterator[Episode]:
    """The outcomes of all attempts in order, without end; their frames lie in the driver's folder.

    Attempts whose files are there already are not driven again. Neither the order nor the content of the others depends
    on who drives them.

    Args:
        driver: What is recorded, and where to; it drives in this process.
        helpers: Drive beside it, as soon as that pays.
        wanted: How many more outcomes are needed at least; no attempt is driven beyond that before it is asked for.
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
