"""`lerobot-sdm collect-rollouts`: options in, dataset folder out; the rest is in `lerobot_sdm.evaluation.rollouts`."""

import inspect
from collections.abc import Sequence

import typer

from lerobot_sdm.cli.options import parse_options, with_underscores
from lerobot_sdm.errors import InputError

USAGE = "Usage: lerobot-sdm collect-rollouts --policy.path=POLICY --env.type=pusht_dense [--option=value ...]"
POLICY = "--policy."


def collect_rollouts(context: typer.Context) -> None:
    """Roll a policy out into a LeRobot dataset, with the rewards."""
    # Torch and LeRobot's models take seconds to import.
    from lerobot_sdm.evaluation.contenders import Contender
    from lerobot_sdm.evaluation.rollouts import RolloutConfig
    from lerobot_sdm.evaluation.rollouts import collect_rollouts as collect

    if not context.args or {"--help", "-h"} & set(context.args):
        typer.echo(f"{USAGE}\n\n{inspect.getdoc(RolloutConfig)}")
        typer.echo("    policy: --policy.path, and any field that differs from the checkpoint, as --policy.FIELD.")
        return
    path, overrides, rest = policy_options(context.args)
    if not any(argument.startswith("--env.type") for argument in rest):
        raise InputError("--env.type: is missing. Give an environment, such as --env.type=pusht_dense.")
    config = parse_options(RolloutConfig, rest)
    typer.echo(f"Collected {collect(config, Contender(path, path, overrides))}")


def policy_options(arguments: Sequence[str]) -> tuple[str, dict[str, str], list[str]]:
    """The policy's path, its overridden fields, and all other options.

    Raises:
        InputError: There is no path, or an option of the policy has no value.
    """
    overrides, rest = {}, []
    for argument in map(with_underscores, arguments):
        if not argument.startswith(POLICY):
            rest.append(argument)
            continue
        name, equals, value = argument.removeprefix(POLICY).partition("=")
        if not equals:
            raise InputError(f"{argument}: has no value. Write {argument}=VALUE.")
        overrides[name] = value
    if "path" not in overrides:
        raise InputError("--policy.path: is missing. Give a checkpoint's `pretrained_model` folder, or a Hub repo.")
    return overrides.pop("path"), overrides, rest
