"""The error that this package raises for bad input, and helpers that build its messages."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from draccus import ParsingError


class InputError(ParsingError):
    """A value given by the user is invalid. The message names the option, the value and the fix.

    Derives from draccus' error, which command-line parsing passes through unchanged. Draccus would replace a ValueError
    with a message that names neither the value nor the reason.
    """


def refuse_existing(option: str, path: Path) -> None:
    """Raise an InputError if the output path already exists.

    Args:
        option: The option that names the path, such as `--output`.
        path: File or folder that is about to be written.
    """
    if path.exists():
        raise InputError(f"{option}={path}: exists already. Choose another name.")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not in `known`, offering the nearest ones.

    Args:
        kind: What the name stands for, in the user's terms, such as `--env.task`.
        name: The name that was given.
        known: All valid names.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Known: {', '.join(known)}."
    return InputError(f"{kind}: '{name}' is not known. {hint}")
