"""One warm process for all programs that tests start, of which each would import for 7 seconds and more.

Test modules name this one in `pytest_plugins`, and tests ask for the fixture `warm`. Whatever this package starts in
their module is then a fork of that process, and `run_forked` starts further programs. With pytest-xdist workers share
one: the first that needs it starts it.
"""

import atexit
import contextlib
import fcntl
import functools
import os
from pathlib import Path
from typing import IO

import filelock
import pytest

from lerobot_sdm.measure.preloaded import EVERYTHING_ELSE, RECORDING
from lerobot_sdm.processes.launcher import SWITCH, Fork, Launcher, Process, warm_process
from lerobot_sdm.processes.threads import passive_waiting

VARIABLES = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **passive_waiting()}
"""What commands of quickstart and benchmark get on one thread; others are started plainly."""

AT_START = dict(os.environ)
"""Environment variables before any test: torch's compiler, for one, adds some when a test compiles, and a program with
other variables than the warm process's cannot be a fork of it."""


def end_with_the_last(users: IO[str], started: contextlib.ExitStack) -> None:
    """End the warm process once no worker uses it: pytest-xdist ends a worker that has no tests left before others."""
    fcntl.flock(users, fcntl.LOCK_EX)
    started.close()


@functools.cache
def address(shared: Path) -> str:
    """Socket of the warm process of this test run, which from now on waits for this worker's end.

    Args:
        shared: Folder that all workers of this run have.
    """
    note = shared / "warm_process"
    with filelock.FileLock(note.with_suffix(".lock")):
        users = note.with_suffix(".users").open("a")  # Stays open, and locked with it, as long as this process runs.
        fcntl.flock(users, fcntl.LOCK_SH)
        if not note.exists():
            environment = AT_START | VARIABLES
            started = contextlib.ExitStack()
            process = warm_process(environment, (*RECORDING, *EVERYTHING_ELSE), note.with_suffix(".log"))
            note.write_text(started.enter_context(process).address or "")
            atexit.register(end_with_the_last, users, started)
        else:
            atexit.register(users.close)
        return note.read_text()


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Programs of this module are forks of the warm process; gives what starts them."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    socket = address(shared)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() | AT_START.keys():
            if name not in AT_START:
                patch.delenv(name)
            elif os.environ.get(name) != AT_START[name]:
                patch.setenv(name, AT_START[name])
        patch.setenv(SWITCH, socket)
        yield Launcher(socket or None)
    # A refused program starts plainly: nothing fails, and the tests take minutes longer.
    refused = [line for line in (shared / "warm_process.log").read_text().splitlines() if line.startswith("refused")]
    assert not refused, refused


def start_forked(launcher: Launcher, *argv: str, output: int | None = None) -> Process:
    """Start a program.

    Args:
        launcher: Of the fixture `warm`.
        argv: The program and its arguments.
        output: File descriptor of what it prints; nowhere if None.
    """
    with Path(os.devnull).open("r+") as nothing:
        printed = nothing.fileno() if output is None else output
        process = launcher.start(argv, os.environ | VARIABLES, nothing.fileno(), printed)
    assert launcher.address is None or isinstance(process, Fork), "the warm process has refused"
    return process


def run_forked(launcher: Launcher, *argv: str) -> tuple[int, str]:
    """Run a program to its end; returns its exit status, negative for a signal, and what it printed."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as output:
        process = start_forked(launcher, *argv, output=writing)
        os.close(writing)
        printed = output.read().decode(errors="replace")
        return process.wait(), printed
