"""Locks that keep two processes out of one folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from lerobot_sdm.errors import InputError


@contextmanager
def only_one(lock: Path, refusal: str) -> Iterator[None]:
    """Hold a lock file, which a killed process releases.

    Raises:
        InputError: Another process holds it; `refusal` is the message.
    """
    try:
        with filelock.FileLock(lock, timeout=0):
            yield
    except filelock.Timeout as error:
        raise InputError(refusal) from error
