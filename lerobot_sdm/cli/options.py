"""Parse options as LeRobot's own commands do, but also allow dashes in their names, and check them early."""

import contextlib
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import field, make_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import draccus
import yaml

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.errors import InputError, causes

CONFIG = "--config_path"  # draccus' own option, which takes its value literally.
TYPE = "--env.type="
NOTHING = ("null", "~", "Null", "NULL", "none", "None")
"""How to write that an option has no value."""


def parse_options[T](config_class: type[T], arguments: Sequence[str]) -> T:
    """Build a configuration from its options.

    Args:
        config_class: A dataclass; an option for each field, `--env.FIELD` for those of a field `env`.
        arguments: Such as `--env.type=metaworld_pc`, `--env.task=drawer-open`, `--repo-id=local/drawer-open`.

    Raises:
        InputError: An option is unknown or missing, or its value is invalid.
    """
    complaint = io.StringIO()
    try:
        # draccus would print every option of every environment before it says what is wrong.
        with contextlib.redirect_stderr(complaint):
            texts = _texts(config_class)
            return draccus.parse(config_class, args=[quoted(item, texts) for item in joined(arguments)])
    except SystemExit as error:
        raise InputError(complaint.getvalue().strip().splitlines()[-1].partition("error: ")[2]) from error
    except (draccus.ParsingError, draccus.utils.DecodingError) as error:
        # draccus wraps the configuration class's own error in another one.
        own = next((cause for cause in causes(error) if isinstance(cause, InputError)), InputError(str(error)))
        raise own from error


def check_options[T](options_class: type[T], arguments: Sequence[str]) -> T | None:
    """Refuse invalid options of this package's environments, before the seconds that importing torch and LeRobot take.

    LeRobot's parser and environment configuration have the final say. Other environment types pass, for LeRobot to
    check.

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
    if kind not in FAMILIES or any(argument.startswith(CONFIG) for argument in arguments):
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


def joined(arguments: Sequence[str]) -> list[str]:
    """Normalize all options: `--repo-id x` becomes `--repo_id=x`."""
    found: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            found.append(f"--{name[2:].replace('-', '_')}{equals}{value}")
        elif found and "=" not in found[-1]:
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found


def value_of(arguments: Sequence[str], option: str) -> str | None:
    """The last value given for an option `--name=`; None if it is not given."""
    return next(
        (argument.removeprefix(option) for argument in reversed(arguments) if argument.startswith(option)), None
    )


def quoted(argument: str, texts: Collection[str] = ()) -> str:
    """Quote an option so that draccus passes its value on unchanged.

    draccus reads values as YAML, where ` #` starts a comment, `&x` is an empty anchor and `1.5` is a number.

    Args:
        argument: Such as `--root=runs #1`.
        texts: Options whose value is a string or a path and never a list, without dashes.
    """
    name, equals, value = argument.partition("=")
    if not (name.startswith("--") and value) or name == CONFIG or value in NOTHING or value[0] in "'\"":
        return argument
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        read = None
    changed = read is None or (isinstance(read, str) and read != value)
    if changed or (name[2:] in texts and not isinstance(read, str)):
        return f"{name}{equals}{json.dumps(value, ensure_ascii=False)}"
    return argument


def _texts(config_class: type) -> set[str]:
    """Fields of a dataclass that hold a string or a path, or None."""
    kinds = {name: set(get_args(hint)) or {hint} for name, hint in get_type_hints(config_class).items()}
    return {name for name, types in kinds.items() if types <= {str, Path, NoneType}}
