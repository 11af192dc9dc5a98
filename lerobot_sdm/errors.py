"""The error that this package raises for bad input, and helpers that build its messages."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from draccus import ParsingError


class InputError(ParsingError):
    """A value given by the user is invalid. The message names the option, the value and the fix.

    Derives from draccus' error, which command-line parsing passes through unchanged. Draccus would replace a ValueError
    with a message that names neither the value nor the reason.
    """


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it was raised from or during; libraries wrap each other's."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, which may be empty."""
    return str(error).strip().partition("\n")[0]


def refuse_existing(option: str, path: Path | None) -> None:
    """Raise an InputError if the file or folder that an option such as `--output` names exists; None passes."""
    if path is not None and path.exists():
        raise InputError(f"{option}={path}: exists already. Choose another name.")


def check_at_least(option: str, value: float | None, least: float = 1) -> None:
    """Raise an InputError if a number is too small; None passes."""
    if value is not None and value < least:
        raise InputError(f"{option}={value}: must be at least {least}.")


def check_below_one(option: str, share: float | None) -> None:
    """Raise an InputError if a share is not at least 0 and below 1; None passes."""
    if share is not None and not 0 <= share < 1:
        raise InputError(f"{option}={share}: must be at least 0 and below 1.")


def check_known(option: str, name: Any, known: Iterable[str]) -> None:
    """Raise an InputError that suggests similar names if a value is not one of `known`.

    The value may be of any type, as users may write anything into a configuration.
    """
    known = list(known)
    if name not in known:
        raise unknown_name(option, str(name), known)


def check_all_known(option: str, names: Collection[str], known: Iterable[str]) -> tuple[str, ...]:
    """Several names, each once, in the order of `known`.

    Raises:
        InputError: One of them is unknown, see `check_known`.
    """
    known = list(known)
    for name in names:
        check_known(option, name, known)
    return tuple(name for name in known if name in names)


def missing_package(where: str, package: str, extra: str) -> InputError:
    """Build the error for an optional package that is not installed.

    Args:
        where: What needs it, in the user's terms, such as `--engine=submitit`.
        extra: The extra of this project that installs it.
    """
    return InputError(
        f"{where}: {package} is not installed. Run `uv sync --extra {extra}`, or "
        f"`pip install 'lerobot_policy_sdm[{extra}]'` where pip installed this package."
    )


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is not in `known`, offering the nearest ones.

    Args:
        kind: What the name stands for, in the user's terms, such as `--env.task`.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Known: {', '.join(known)}."
    return InputError(f"{kind}: '{name}' is not known. {hint}")
