"""`lerobot-sdm record`: parses options and calls `lerobot_sdm.datasets.record`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from lerobot_sdm.cli.options import TYPE, check_options, joined, parse_options, value_of
from lerobot_sdm.datasets.record_options import RecordOptions
from lerobot_sdm.envs.families import FAMILIES, SHARED
from lerobot_sdm.errors import InputError
from lerobot_sdm.outlines import outline

if TYPE_CHECKING:
    from lerobot_sdm.datasets.record import RecordConfig

USAGE = "Usage: lerobot-sdm record --env.type=metaworld_pc --env.task=drawer-open --episodes=10 [--option=value ...]"
CONFIG = "lerobot_sdm.datasets.record:RecordConfig"


def record(context: typer.Context) -> None:
    """Record expert demonstrations as a LeRobot dataset."""
    if not context.args or {"--help", "-h"} & set(context.args):
        typer.echo(help_text())
        return
    config = parse(context.args)
    from lerobot_sdm.datasets.record import record as record_dataset

    folder = record_dataset(config)
    typer.echo(f"Recorded {folder}")


def parse(arguments: Sequence[str]) -> RecordConfig:
    """Parse options as LeRobot's own commands do, but also allow dashes in their names.

    Args:
        arguments: Such as `--env.type=metaworld_pc`, `--env.task=drawer-open`, `--repo-id=local/drawer-open`.

    Raises:
        InputError: An option is unknown or missing, or its value is invalid.
    """
    kind = value_of(joined(arguments), TYPE)
    if kind is None:
        raise InputError("--env.type: is missing. Give an environment, such as --env.type=metaworld_pc.")
    if kind not in FAMILIES:
        raise InputError(f"--env.type={kind}: has no expert. Give one of {', '.join(FAMILIES)}.")
    options = check_options(RecordOptions, arguments)
    if options is not None:
        options.checked_expert(kind, options.env.task)

    from lerobot_sdm.datasets.record import RecordConfig
    from lerobot_sdm.plugin import register_all

    register_all()
    return parse_options(RecordConfig, arguments)


def help_text() -> str:
    """All options with their documentation, taken from the configuration classes."""
    options = outline("lerobot_sdm.datasets.record_options:RecordOptions").documentation
    parts = [USAGE, outline(CONFIG).documentation, options, outline(SHARED).documentation]
    for name, family in FAMILIES.items():
        parts += [
            f"Further fields of env for --env.type={name}, each an option --env.<field>:",
            outline(family.config_class).documentation,
        ]
    return "\n\n".join(parts)
