"""Call a function in its own process; the caller gets any exception that it raises.

The two share one unnamed file, the process's standard input: the caller writes the function, and the process appends
the exception, if there is one.
"""

import pickle
import sys
import tempfile
from collections.abc import Callable
from typing import IO

Function = Callable[[], None]
"""Picklable: a function of a module, or a `functools.partial` of one."""

COMMAND = (sys.executable, "-m", __package__)
"""The program that calls what its standard input holds: `__main__` of this package."""


class Call:
    """A function to be called in another process, which looks up its module on this process's path."""

    def __init__(self, function: Function):
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `raised`
        self.file.write(pickle.dumps((sys.path, pickle.dumps(function))))
        self._length = self.file.tell()
        self.file.seek(0)

    def raised(self) -> Exception | None:
        """What the function raised in the finished process; None if it returned or was killed."""
        with self.file:
            self.file.seek(self._length)
            written = self.file.read()
        return pickle.loads(written) if written else None


def perform() -> None:
    """Call the function that standard input holds, and raise what it raises."""
    with open(0, "r+b", buffering=0) as file:
        path, function = pickle.loads(file.readall())
        sys.path[:] = path
        try:
            pickle.loads(function)()
        except Exception as error:
            file.write(_picklable(error))
            raise


def _picklable(error: Exception) -> bytes:
    """Pickle an exception for the caller: itself if it survives pickling, otherwise its message."""
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return packed
