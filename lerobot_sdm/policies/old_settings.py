"""Configurations of earlier versions are read by the present ones."""

import functools
from collections.abc import Sequence
from typing import Any

from draccus.parsers import decoding


def register() -> None:
    """Let draccus, with which LeRobot reads configurations, ask a policy's class for what its settings are called now.

    A decoder registered with draccus would not do: of a class that has one the command line offers no options.
    """
    decode = decoding.decode_dataclass
    if hasattr(decode, "__wrapped__"):
        return

    @functools.wraps(decode)
    def decode_dataclass(cls: Any, saved: dict[str, Any], path: Sequence[str] = ()) -> Any:
        upgraded = getattr(cls, "upgraded", None)
        return decode(cls, saved if upgraded is None else upgraded(saved), path)

    decoding.decode_dataclass = decode_dataclass  # type: ignore[assignment]  # Generic in the class, and wrapped.
