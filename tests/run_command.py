"""One command as a stage runs it, without the stage."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lerobot_sdm.measure.commands import PLAIN, Board, Running, wait_for_one
from lerobot_sdm.processes.launcher import Launcher


def run_command(
    command: Sequence[str],
    log: Path,
    console: Console,
    environment: dict[str, str],
    inherited: Sequence[int] = (),
    launcher: Launcher = PLAIN,
) -> None:
    """Run a command to its end, keep all its output in a log, and show its progress.

    Args:
        command: Program and arguments.
        log: File that the output is appended to.
        console: Where progress is shown.
        environment: Environment variables of the process.
        inherited: File descriptors that the process gets too.
        launcher: Starts it.

    Raises:
        CommandFailedError: If the exit status is not 0.
    """
    running = Running(command, log, environment, launcher, inherited=inherited)
    try:
        with Board(console) as board:
            wait_for_one({log.stem: running}, board)
    except BaseException:
        running.stop()
        raise
    running.finish()
