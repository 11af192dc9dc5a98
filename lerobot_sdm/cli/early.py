"""Check `--env.*` options before importing torch and LeRobot, which takes many seconds.

LeRobot's parser and environment configuration have the final say. This module lets the environment itself, which
needs neither import, check the same options early.
"""

from collections.abc import Sequence
from dataclasses import field, make_dataclass
from typing import Any

from lerobot_sdm.cli.options import joined, parse_options
from lerobot_sdm.envs.families import FAMILIES

TYPE = "--env.type="


def check_options[T](options_class: type[T], arguments: Sequence[str]) -> T | None:
    """Refuse invalid options of this package's environments. Other environment types pass, for LeRobot to check.

    Args:
        options_class: A dataclass of all options but `--env.*`, whose `check_values` refuses invalid values.
        arguments: As for `parse_options`.

    Returns:
        The options with their `env`, which has `task`; None if only LeRobot knows the environment type.

    Raises:
        InputError: An option is unknown or its value is invalid.
    """
    arguments = joined(arguments)
    kind = value_of(arguments, TYPE)
    if kind not in FAMILIES or any(argument.startswith("--config_path") for argument in arguments):
        return None
    described = FAMILIES[kind].fields()
    environment = make_dataclass("Environment", [_field(name, *known) for name, known in described.items()])
    options = make_dataclass(
        options_class.__name__,
        [("env", environment, field(default_factory=environment))],
        bases=(options_class,),
        kw_only=True,
    )
    parsed = parse_options(options, [argument for argument in arguments if not argument.startswith(TYPE)])
    parsed.check_values()
    given = {name: getattr(parsed.env, name) for name in described if value_of(arguments, f"--env.{name}=") is not None}
    FAMILIES[kind].check(given)
    return parsed


def _field(name: str, kind: Any, default: Any) -> tuple[str, Any, Any]:
    return name, kind, field(default_factory=lambda: default)


def value_of(arguments: Sequence[str], option: str) -> str | None:
    """The last value given for an option `--name=`; None if it is not given."""
    return next(
        (argument.removeprefix(option) for argument in reversed(arguments) if argument.startswith(option)), None
    )
