"""`lerobot-sdm record`: options in, dataset folder out. Everything else is in `lerobot_sdm.datasets.record`."""

import contextlib
import inspect
import io
from collections.abc import Sequence

import draccus
import typer
from lerobot.envs.configs import EnvConfig

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
    complaint = io.StringIO()
    try:
        # draccus prints every option of every environment before it says what is wrong.
        with contextlib.redirect_stderr(complaint):
            return draccus.parse(RecordConfig, args=[_with_underscores(argument) for argument in arguments])
    except SystemExit as error:
        raise InputError(complaint.getvalue().strip().splitlines()[-1].partition("error: ")[2]) from error
    except (draccus.ParsingError, draccus.utils.DecodingError) as error:
        raise _input_error_behind(error) from error


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


def _with_underscores(argument: str) -> str:
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


def _input_error_behind(error: BaseException) -> InputError:
    """The complaint of a configuration class, which draccus wraps in its own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return InputError(str(error))
