"""What verbs that run other commands print when one fails or is interrupted."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from lerobot_sdm.measure.commands import CommandFailedError


def print_error(console: Console, text: str) -> None:
    """Print a message that may contain a command's output, as it is."""
    console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def running_commands(console: Console) -> Iterator[None]:
    """Exit with status 1 if a command fails and with 130 on Ctrl-C or SIGTERM, which also ends the running commands."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except CommandFailedError as error:
        print_error(console, str(error))
        console.print("Fix the error and rerun the same command to resume.")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        console.print("Interrupted. Rerun the same command to resume.")
        raise typer.Exit(130) from None
