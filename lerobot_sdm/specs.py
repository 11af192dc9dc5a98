"""Write options as text, and parse those of the form `HEAD,FIELD=VALUE,...`: a checkpoint or an environment with
overridden settings.

Paths may contain commas and equal signs. A comma is a separator only if `NAME=` follows, and an existing path is never
split: in `runs/a,lr=1/model,label=x` the path is the longest part that is an existing folder or file.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

import yaml

from lerobot_sdm.errors import InputError

SEPARATOR = re.compile(r",(?=\s*[A-Za-z_]\w*\s*=)")


def split_spec(text: str, option: str, form: str) -> tuple[str, dict[str, str]]:
    """Split an option's value into its head and its settings, in order; `form` is the expected form, for messages.

    Raises:
        InputError: A setting is not `FIELD=VALUE`.
    """
    places = [match.start() for match in SEPARATOR.finditer(text)]
    # `Path.exists` fails for a text too long to be a file's name.
    whole = [place for place in [*places, len(text)] if place and os.path.exists(text[:place])]  # noqa: PTH110
    end = max(whole, default=places[0] if places else len(text))
    head, rest = text[:end], text[end + 1 :]
    settings = SEPARATOR.split(rest) if rest else []
    if not whole and "," in head:
        # Not an existing path, so the text after the first comma must be a setting without a value.
        raise InputError(f"{option}={text}: '{head.partition(',')[2]}' is not FIELD=VALUE. Write {form}.")
    found = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        found[key.strip()] = value.strip()
    return head, found


def yaml_value(text: str, given: str) -> Any:
    """An option's value, read as YAML; an InputError that names the option as `given` if it is not."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{given}: '{text}' cannot be read as YAML. Quote it, or close its brackets.") from error


def flag_text(value: Any) -> str:
    """A value as LeRobot's command line reads it: true, [64,128], null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "[" + ",".join(flag_text(item) for item in value) + "]"
    return str(value)


def flags(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Options as arguments: {"steps": 5} with prefix "policy." -> ["--policy.steps=5"]."""
    return [f"--{prefix}{name}={flag_text(value)}" for name, value in values.items()]
