"""Environments as one option, `TYPE[,FIELD=VALUE...]`: how `compare --env` and `--robot.env` name them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import TYPE_CHECKING

import draccus

from lerobot_sdm.envs import register_env_types
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.specs import split_spec, yaml_value

if TYPE_CHECKING:
    from lerobot.envs.configs import EnvConfig


def spec_options(text: str, option: str = "--env") -> dict[str, str]:
    """The environment as options of LeRobot's commands, without their dashes: `env.type` first."""
    kind, settings = split_spec(text, option, "TYPE,FIELD=VALUE")
    return {"env.type": kind} | {f"env.{key}": value for key, value in settings.items()}


def env_config(text: str, option: str = "--env") -> EnvConfig:
    """LeRobot's configuration of an environment. Checks this package's own families before LeRobot is imported.

    Args:
        text: `TYPE[,FIELD=VALUE...]`, fields as `--env.FIELD` of LeRobot's commands.
        option: The option's name, for messages.

    Raises:
        InputError: The environment or a field is unknown, or a value is invalid.
    """
    (_, kind), *options = spec_options(text, option).items()
    values = {name.removeprefix("env."): yaml_value(value, f"{option}={text}") for name, value in options}
    if kind in FAMILIES:
        _check_names(f"{option} {kind}", values, FAMILIES[kind].fields())
        FAMILIES[kind].check(values)

    from lerobot.envs.configs import EnvConfig

    register_env_types()
    choices = EnvConfig.get_known_choices()
    check_known(option, kind, choices)
    _check_names(f"{option} {kind}", values, [item.name for item in fields(choices[kind])])
    try:
        return draccus.decode(EnvConfig, {"type": kind, **values})
    except (draccus.utils.DecodingError, ValueError) as error:
        raise InputError(f"{option}={text}: {error}") from error


def _check_names(where: str, values: Iterable[str], known: Collection[str]) -> None:
    for key in values:
        check_known(where, key, known)
