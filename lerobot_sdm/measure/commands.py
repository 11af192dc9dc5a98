"""Run commands that the user could run too: print them, show their progress, and keep their logs."""

import os
import re
import selectors
import shlex
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from lerobot_sdm.processes.calls import COMMAND, Call, Function
from lerobot_sdm.processes.launcher import Launcher

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LONGEST_LINE = 400
QUIET_SECONDS = 20  # Between progress lines where there is no terminal to redraw one.
PLAIN = Launcher()


class CommandFailedError(RuntimeError):
    """A command failed. The message contains the end of its output and the path of the log."""


def format_command(command: Sequence[str]) -> str:
    """A command to paste into a shell, one option per line."""
    program, *arguments = (shlex.quote(part) for part in command)
    words = [program]
    while arguments and not arguments[0].startswith("-"):
        words.append(arguments.pop(0))
    return " \\\n  ".join([" ".join(words), *arguments])


class Running:
    """A running program, whose output goes to a log and whose last lines are kept.

    Args:
        log: File that the output is appended to.
        verbose: Also copy the output to this process's own.
        inherited: Further file descriptors for the process.
        function: Called instead of the command, which then only names it.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: dict[str, str],
        launcher: Launcher,
        verbose: bool = False,
        inherited: Sequence[int] = (),
        function: Function | None = None,
    ):
        self.command = command
        self.log = log
        self.tail: deque[str] = deque(maxlen=30)
        self._verbose = verbose
        self._pending = ""
        self._call = None if function is None else Call(function)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._file = log.open("ab")
        reading, output = os.pipe()
        self._output = os.fdopen(reading, "rb", buffering=0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            argv, stdin = (command, nothing) if self._call is None else (COMMAND, self._call.file.fileno())
            self._process = launcher.start(argv, environment, stdin, output, inherited)
            self._file.write(f"$ {shlex.join(command)}\n".encode())
            self._file.flush()
        except BaseException:
            self._close()
            raise
        finally:
            os.close(output)
            os.close(nothing)

    def fileno(self) -> int:
        """File descriptor that becomes readable when there is more output, or none will follow."""
        return self._output.fileno()

    def read(self) -> bool:
        """Copy new output to the log; false once the process has closed its output."""
        chunk = self._output.read(65536)
        self._file.write(chunk)
        self._file.flush()
        if self._verbose:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        # Progress bars redraw themselves with carriage returns.
        *lines, self._pending = re.split(r"[\r\n]+", self._pending + chunk.decode(errors="replace"))
        if not chunk:
            lines.append(self._pending)
        self.tail.extend(line for line in map(_plain, lines) if line)
        return bool(chunk)

    def finish(self) -> None:
        """Wait for the process to end.

        Raises:
            CommandFailedError: If the exit status is not 0.
            Exception: What the function raised.
        """
        code = self._process.wait()
        self._close()
        if self._call is not None and (error := self._call.raised()):
            raise error
        if code != 0:
            raise CommandFailedError(
                f"`{self.command[0]}` ended with exit status {code}. The end of {self.log}:\n" + "\n".join(self.tail)
            )

    def stop(self) -> None:
        """End the process, so that an interrupted parent leaves no trainer behind that writes into the same folder."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._output.close()
        self._file.close()


class Board:
    """Shows the last line of each running program: redrawn in a terminal, printed periodically elsewhere."""

    def __init__(self, console: Console, quiet: bool = False):
        self._console = console
        self._quiet = quiet
        self._status = console.status("")
        self._lines: dict[str, str] = {}
        self._shown: dict[str, float] = {}

    def __enter__(self) -> "Board":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, name: str, line: str) -> None:
        """Show the last line of the program with that name."""
        if self._quiet:
            return
        self._lines[name] = line
        now = time.monotonic()
        if self._console.is_terminal:
            self._redraw()
        elif now - self._shown.setdefault(name, now) > QUIET_SECONDS:
            self._shown[name] = now
            self._console.print(f"   {self._text(name)}", style="dim", markup=False, highlight=False, soft_wrap=True)

    def remove(self, name: str) -> None:
        """Stop showing a program."""
        self._lines.pop(name, None)
        self._shown.pop(name, None)
        if self._console.is_terminal:
            self._redraw()

    def _redraw(self) -> None:
        texts = (Text(self._text(name), style="dim", no_wrap=True, overflow="ellipsis") for name in self._lines)
        self._status.update(Group(*texts))

    def _text(self, name: str) -> str:
        return f"{name}: {self._lines[name]}" if len(self._lines) > 1 else self._lines[name]


def wait_for_one(running: Mapping[str, Running], board: Board) -> str:
    """Write the logs of programs until one of them closes its output; returns its name."""
    with selectors.DefaultSelector() as selector:
        for name, program in running.items():
            selector.register(program, selectors.EVENT_READ, name)
        while True:
            for key, _ in selector.select():
                program = running[key.data]
                if not program.read():
                    board.remove(key.data)
                    return key.data
                if program.tail:
                    board.show(key.data, program.tail[-1])


def _plain(line: str) -> str:
    """A line without escape codes, cut to a readable length."""
    line = ESCAPES.sub("", line).rstrip()
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."
