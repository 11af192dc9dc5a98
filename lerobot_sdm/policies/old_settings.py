"""Make LeRobot read configurations saved by earlier versions of this package."""

import functools
from collections.abc import Sequence
from typing import Any

from draccus.parsers import decoding

from lerobot_sdm.lerobot_internals import patch


def register() -> None:
    """Make draccus, with which LeRobot reads configurations, call a policy class's `upgraded` first.

    Registering a decoder with draccus would not work: the command line offers no options for a class that has one.
    """
    decode = decoding.decode_dataclass
    if hasattr(decode, "__wrapped__"):
        return

    @functools.wraps(decode)
    def decode_dataclass(cls: Any, saved: dict[str, Any], path: Sequence[str] = ()) -> Any:
        upgraded = getattr(cls, "upgraded", None)
        return decode(cls, saved if upgraded is None else upgraded(saved), path)

    patch(decoding, "decode_dataclass", decode_dataclass)
