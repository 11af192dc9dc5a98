"""Values that no setting can have, whatever it is called: refused before anything is computed with them."""

import math
from collections.abc import Iterator
from dataclasses import fields
from types import NoneType
from typing import Any, get_args, get_type_hints

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError


def check_values(config: PreTrainedConfig, sizes: dict[str, tuple[int, int]]) -> None:
    """Refuse what a file of settings can hold and its reader lets through.

    Args:
        config: Any policy's.
        sizes: Settings that decide how large something gets -> least and largest number that make sense.

    Raises:
        InputError: Nothing where something must be, a number that is not finite, or a size that cannot be.
    """
    hints = get_type_hints(type(config))
    for item in fields(config):
        value, hint = getattr(config, item.name), hints[item.name]
        if value is None and not _may_be_none(hint):
            raise InputError(f"--policy.{item.name}=null: must have a value. Leave it out for {item.default!r}.")
        for number in _numbers(value):
            if not math.isfinite(number):
                raise InputError(f"--policy.{item.name}={value}: must be finite.")
            least, most = sizes.get(item.name, (-math.inf, math.inf))
            if not least <= number <= most:
                raise InputError(f"--policy.{item.name}={value}: must lie in {least} ... {most}.")


def _may_be_none(hint: Any) -> bool:
    return hint is Any or hint is NoneType or NoneType in get_args(hint)


def _numbers(value: Any) -> Iterator[float]:
    """Numbers in a value and in lists of it; what is in dictionaries has its own checks."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
