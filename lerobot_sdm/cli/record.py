"""`lerobot-sdm record`: options in, dataset folder out. Everything else is in `lerobot_sdm.datasets.record`."""

import inspect
from collections.abc import Sequence

import typer
from lerobot.envs.configs import EnvConfig

from lerobot_sdm.cli.options import parse_options
from lerobot_sdm.datasets.record import RecordConfig
from lerobot_sdm.datasets.record import record as record_dataset
from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.errors import InputError

USAGE = "Usage: lerobot-sdm record --env.type=metaworld_pc --env.task=drawer-open --episodes=10 [--option=value ...]"


def record(context: typer.Context) -> None:
    """Record expert demonstrations as a LeRobot dataset."""
    if not context.args or {"--help", "-h"} & set(context.args):
        typer.echo(help_text())
        return
    folder = record_dataset(parse(context.args))
    typer.echo(f"Recorded {folder}")


def parse(arguments: Sequence[str]) -> RecordConfig:
    """Read options the way LeRobot's own commands do, dashes in their names allowed.

    Args:
        arguments: Such as `--env.type=metaworld_pc`, `--env.task=drawer-open`, `--repo-id=local/drawer-open`.

    Raises:
        InputError: An option is unknown or missing, or its value cannot work.
    """
    if not any(argument.startswith("--env.type") for argument in arguments):
        raise InputError("--env.type: is missing. Give an environment, such as --env.type=metaworld_pc.")
    return parse_options(RecordConfig, arguments)


def help_text() -> str:
    """All options with their meaning, from the configuration classes themselves."""
    choices = EnvConfig.get_known_choices().items()
    recordable = {name: choice for name, choice in choices if issubclass(choice, PointCloudEnvConfig)}
    parts = [USAGE, _documentation(RecordConfig)]
    for name, choice in recordable.items():
        parts += [f"Fields of env for --env.type={name}, each an option --env.<field>:", _documentation(choice)]
    return "\n\n".join(parts)


def _documentation(described: type) -> str:
    return inspect.getdoc(described).partition("Raises:")[0].strip()
