"""Running a command as the user could: shown first, watched while it runs, kept in a log."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LONGEST_LINE = 400
QUIET_SECONDS = 20  # Between progress lines where there is no terminal to redraw one.


class CommandFailedError(RuntimeError):
    """A command ended with an error. The message holds the end of its output and the path of the log."""


def find_program(name: str) -> str:
    """Path of a program of the running environment; the bare name where it is not installed there.

    `uv run` and a virtual environment that is not activated both leave the programs off PATH now and then,
    and another LeRobot may stand before ours on it.
    """
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def format_command(command: Sequence[str]) -> str:
    """A command for copying into a shell, one option a line."""
    program, *arguments = (shlex.quote(part) for part in command)
    words = [program]
    while arguments and not arguments[0].startswith("-"):
        words.append(arguments.pop(0))
    return " \\\n  ".join([" ".join(words), *arguments])


def run_command(
    command: Sequence[str],
    log: Path,
    console: Console,
    environment: dict[str, str],
    verbose: bool = False,
    inherited: Sequence[int] = (),
) -> None:
    """Run a command to its end, keep all its output in a log, and show its progress.

    Args:
        command: Program and arguments.
        log: File that the output is appended to.
        console: Where progress is shown.
        environment: Environment variables of the process.
        verbose: Copy the whole output to the console.
        inherited: File descriptors that the process gets too.

    Raises:
        CommandFailedError: If the exit status is not 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = [find_program(command[0]), *command[1:]]
    started = time.monotonic()
    with log.open("ab") as file, console.status("") as status:
        file.write(f"$ {shlex.join(command)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=inherited,
        )
        try:
            tail = _follow(process, file, console, status, verbose, started)
        finally:
            # An interrupted parent must not leave a trainer behind that writes into the same folder.
            if process.poll() is None:
                process.terminate()
            code = process.wait()
    if code != 0:
        raise CommandFailedError(f"`{command[0]}` ended with exit status {code}. The end of {log}:\n" + "\n".join(tail))


def _follow(process, file, console: Console, status, verbose: bool, started: float) -> deque[str]:
    """Copy output to the log until the process closes it; returns the last lines."""
    tail: deque[str] = deque(maxlen=30)
    pending, shown = "", started
    while chunk := os.read(process.stdout.fileno(), 65536):
        file.write(chunk)
        file.flush()
        if verbose:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        # Progress bars redraw themselves with carriage returns.
        *lines, pending = re.split(r"[\r\n]+", pending + chunk.decode(errors="replace"))
        tail.extend(line for line in map(_plain, lines) if line)
        if verbose or not tail:
            continue
        if console.is_terminal:
            status.update(Text(tail[-1], style="dim", no_wrap=True, overflow="ellipsis"))
        elif time.monotonic() - shown > QUIET_SECONDS:
            shown = time.monotonic()
            console.print(f"   {tail[-1]}", style="dim", markup=False, highlight=False, soft_wrap=True)
    if pending.strip():
        tail.append(_plain(pending))
    return tail


def _plain(line: str) -> str:
    """A line without escape codes, and no longer than a person reads."""
    line = ESCAPES.sub("", line).rstrip()
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."
