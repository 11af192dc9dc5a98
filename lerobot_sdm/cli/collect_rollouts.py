"""`lerobot-sdm collect-rollouts`: parses options and calls `lerobot_sdm.datasets.rollouts`."""

from collections.abc import Sequence

import typer

from lerobot_sdm.cli.options import TYPE, check_options, joined, parse_options, value_of
from lerobot_sdm.datasets.rollout_options import RolloutOptions
from lerobot_sdm.errors import InputError
from lerobot_sdm.outlines import outline
from lerobot_sdm.policies.policy_spec import PolicySpec

USAGE = "Usage: lerobot-sdm collect-rollouts --policy.path=POLICY --env.type=pusht_dense [--option=value ...]"
POLICY = "--policy."
CONFIG = "lerobot_sdm.datasets.rollouts:RolloutConfig"
OPTIONS = "lerobot_sdm.datasets.rollout_options:RolloutOptions"


def collect_rollouts(context: typer.Context) -> None:
    """Record a policy's rollouts, rewards included, as a LeRobot dataset."""
    if not context.args or {"--help", "-h"} & set(context.args):
        typer.echo("\n\n".join([USAGE, outline(CONFIG).documentation, outline(OPTIONS).documentation]))
        typer.echo("    policy: --policy.path, and --policy.FIELD to override a field of the checkpoint.")
        return
    path, overrides, rest = policy_options(context.args)
    if value_of(rest, TYPE) is None:
        raise InputError("--env.type: is missing. Give an environment, such as --env.type=pusht_dense.")
    policy = PolicySpec(path, path, overrides).checked()
    check_options(RolloutOptions, rest)

    from lerobot_sdm.datasets.rollouts import RolloutConfig
    from lerobot_sdm.datasets.rollouts import collect_rollouts as collect
    from lerobot_sdm.plugin import register_all

    register_all()
    typer.echo(f"Collected {collect(parse_options(RolloutConfig, rest), policy)}")


def policy_options(arguments: Sequence[str]) -> tuple[str, dict[str, str], list[str]]:
    """Split arguments into the policy's path, its overridden fields, and all other options.

    Raises:
        InputError: The path is missing, or a policy option has no value.
    """
    overrides, rest = {}, []
    for argument in joined(arguments):
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
