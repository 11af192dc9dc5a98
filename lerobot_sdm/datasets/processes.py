"""Maps a function over pieces of work, in this process or in several."""

import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.processes.threads import passive_waiting

_shared: Any = None


def _wait_for_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def prepare_worker(shared: Any) -> None:
    """Initialize a worker process, which keeps `shared` and ends when its parent dies."""
    global _shared
    _shared = shared
    # Otherwise it would wait for work forever.
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def call(task: Callable, arguments: tuple[Any, ...], piece: Any) -> Any:
    """The result of `task(shared, piece, *arguments)` in a worker process."""
    return task(_shared, piece, *arguments)


def _context(preload: str) -> multiprocessing.context.BaseContext:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


@contextmanager
def killed_worker_is_an_input_error() -> Iterator[None]:
    """Raises InputError in this context if a worker process was killed, usually because memory ran out."""
    try:
        yield
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, perhaps because memory ran out. The finished parts are kept. Rerun the "
            "same command with fewer --workers to resume."
        ) from error


class Workers:
    """Runs tasks on pieces of work; with `count=1` in this process.

    Args:
        count: Number of processes.
        shared: First argument of every task, sent to each process once.
        preload: Module to import once for all processes, where the system supports that.
    """

    def __init__(self, count: int, shared: Any, preload: str):
        self._shared = shared
        self._pool: ProcessPoolExecutor | None = None
        if count > 1:
            os.environ.update(passive_waiting())
            context = _context(preload)
            self._pool = ProcessPoolExecutor(count, context, prepare_worker, (shared,))

    def map(self, task: Callable, pieces: Iterable[Any], *arguments: Any) -> Iterator[Any]:
        """The results of `task(shared, piece, *arguments)`, in the order of the pieces.

        Raises:
            InputError: A process was killed, usually because memory ran out.
        """
        if self._pool is None:
            yield from (task(self._shared, piece, *arguments) for piece in pieces)
            return
        with killed_worker_is_an_input_error():
            yield from self._pool.map(functools.partial(call, task, arguments), pieces)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
