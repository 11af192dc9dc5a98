"""Generic checks of a configuration's values, before anything is computed with them."""

import math
from collections.abc import Iterator
from dataclasses import fields
from types import NoneType
from typing import Any, get_args, get_type_hints

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError


def check_values(config: PreTrainedConfig, sizes: dict[str, tuple[int, int]]) -> None:
    """Reject invalid values that can occur in a settings file and that its reader accepts.

    Args:
        config: Configuration of any policy.
        sizes: Settings that determine sizes -> smallest and largest sensible number.

    Raises:
        InputError: A required value is null, a number is not finite, or a size is out of range.
    """
    hints = get_type_hints(type(config))
    for item in fields(config):
        value, hint = getattr(config, item.name), hints[item.name]
        if value is None and not _may_be_none(hint):
            raise InputError(f"--policy.{item.name}=null: must have a value. Drop it for {item.default!r}.")
        for number in _numbers(value):
            if not math.isfinite(number):
                raise InputError(f"--policy.{item.name}={value}: must be finite.")
            least, most = sizes.get(item.name, (-math.inf, math.inf))
            if not least <= number <= most:
                raise InputError(f"--policy.{item.name}={value}: must lie in {least} ... {most}.")


def check_above_zero(config: PreTrainedConfig, *names: str) -> None:
    """Raises: InputError: The value of one of these fields is not above 0."""
    for name in names:
        if getattr(config, name) <= 0:
            raise InputError(f"--policy.{name}={getattr(config, name)}: must be above 0.")


def check_not_negative(config: PreTrainedConfig, *names: str) -> None:
    """Raises: InputError: The value of one of these fields is below 0."""
    for name in names:
        if getattr(config, name) < 0:
            raise InputError(f"--policy.{name}={getattr(config, name)}: must not be below 0.")


def check_shares(config: PreTrainedConfig, *names: str) -> None:
    """Raises: InputError: The value of one of these fields is not in 0 ... 1."""
    for name in names:
        if not 0 <= getattr(config, name) <= 1:
            raise InputError(f"--policy.{name}={getattr(config, name)}: must lie in 0 ... 1.")


def check_action_steps(config: Any, network: Any) -> None:
    """Raises: InputError: More actions are to be executed than a network's chunk has from the current frame on."""
    past = network.n_obs_steps - 1
    longest = network.horizon - past
    if not 1 <= config.n_action_steps <= longest:
        raise InputError(
            f"--policy.n_action_steps={config.n_action_steps}: must lie in 1 ... {longest}, since the first {past} "
            f"of the {network.horizon} predicted actions belong to past frames."
        )


def _may_be_none(hint: Any) -> bool:
    return hint is Any or hint is NoneType or NoneType in get_args(hint)


def _numbers(value: Any) -> Iterator[float]:
    """Numbers in a value and in nested lists; dictionaries have their own checks."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
