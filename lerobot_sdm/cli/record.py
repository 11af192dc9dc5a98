"""`lerobot-sdm record`: options in, dataset folder out. Everything else is in `lerobot_sdm.datasets.record`."""

from collections.abc import Sequence

import draccus
import typer

from lerobot_sdm.datasets.record import RecordConfig
from lerobot_sdm.datasets.record import record as record_dataset


def parse(arguments: Sequence[str]) -> RecordConfig:
    """Read options the way LeRobot's own commands do, dashes in their names allowed.

    Args:
        arguments: Such as `--env.type=metaworld_pc`, `--env.task=drawer-open`, `--repo-id=local/drawer-open`.
    """
    return draccus.parse(RecordConfig, args=[_with_underscores(argument) for argument in arguments])


def _with_underscores(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


def record(context: typer.Context) -> None:
    """Record expert demonstrations as a LeRobot dataset."""
    folder = record_dataset(parse(context.args))
    typer.echo(f"Recorded {folder}")
