"""Options read the way LeRobot's own commands read them, dashes in their names allowed."""

import contextlib
import io
from collections.abc import Sequence

import draccus

from lerobot_sdm.errors import InputError


def parse_options[T](config_class: type[T], arguments: Sequence[str]) -> T:
    """A configuration from its options.

    Args:
        config_class: A dataclass; an option for each field, `--env.FIELD` for those of a field `env`.
        arguments: Such as `--env.type=metaworld_pc`, `--env.task=drawer-open`, `--repo-id=local/drawer-open`.

    Raises:
        InputError: An option is unknown or missing, or its value cannot work.
    """
    complaint = io.StringIO()
    try:
        # draccus prints every option of every environment before it says what is wrong.
        with contextlib.redirect_stderr(complaint):
            return draccus.parse(config_class, args=[with_underscores(argument) for argument in arguments])
    except SystemExit as error:
        raise InputError(complaint.getvalue().strip().splitlines()[-1].partition("error: ")[2]) from error
    except (draccus.ParsingError, draccus.utils.DecodingError) as error:
        raise _input_error_behind(error) from error


def with_underscores(argument: str) -> str:
    """`--repo-id=x` as `--repo_id=x`."""
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
