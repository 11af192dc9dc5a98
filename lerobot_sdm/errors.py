"""The one way in which this package complains about bad input."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from draccus import ParsingError


class InputError(ParsingError):
    """A value that the user gave cannot work. The message names the key, the value and the fix.

    Derived from draccus' error, which travels unchanged through the parsing of a command line; a ValueError would
    be replaced by a sentence that says neither which value nor why.
    """


def refuse_existing(option: str, path: Path) -> None:
    """Raise an InputError if what is about to be written is there already.

    Args:
        option: The option that names it, such as `--output`.
        path: What it names.
    """
    if path.exists():
        raise InputError(f"{option}={path}: exists already. Choose another name.")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not in `known`, offering the nearest ones.

    Args:
        kind: What the name stands for, as the user knows it, such as `--env.task`.
        name: What was given.
        known: All names that would have worked.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Known: {', '.join(known)}."
    return InputError(f"{kind}: '{name}' is not known. {hint}")
