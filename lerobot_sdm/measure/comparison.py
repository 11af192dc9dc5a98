"""Compare policies in any LeRobot environment on the same seeds: settings and evaluations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lerobot_sdm.envs.spec import env_config, spec_options
from lerobot_sdm.errors import InputError, check_at_least
from lerobot_sdm.measure.plan import RunLayout, lerobot_eval
from lerobot_sdm.measure.stages import Stage
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.specs import flags

if TYPE_CHECKING:
    from lerobot.envs.configs import EnvConfig


@dataclass(frozen=True)
class Comparison:
    """Settings of a comparison.

    Args:
        env: `TYPE[,FIELD=VALUE...]`, fields as `--env.FIELD` of LeRobot's commands.
        policies: The rows; the first is the reference.
        episodes: Episodes per row.
        seed: Seed of the first episode; episode i has `seed` + i in every row.
        batch_size: Episodes that run in parallel.
        device: Torch device of the policies.
        threads: CPU threads per command.
        latency_repeats: Timed chunks per row.

    Raises:
        InputError: A number is not positive, a label occurs twice, or the environment is unknown.
    """

    env: str
    policies: tuple[PolicySpec, ...]
    episodes: int = 100
    seed: int = 100_000
    batch_size: int = 50
    device: str = "cpu"
    threads: int = 1
    latency_repeats: int = 30

    def __post_init__(self) -> None:
        for name in ("episodes", "batch_size", "threads", "latency_repeats"):
            check_at_least(f"--{name.replace('_', '-')}", getattr(self, name))
        keys = [row_key(policy) for policy in self.policies]
        for key, policy in zip(keys, self.policies, strict=True):
            if not key:
                raise InputError(f"--policy: the label '{policy.label}' has no letter or digit. Give another one.")
            if keys.count(key) > 1:
                raise InputError(
                    f"--policy: two rows are called '{key}'. Give them different labels: --policy=PATH,label=NAME."
                )
        self.env_config()

    def env_config(self) -> EnvConfig:
        """LeRobot's configuration of the environment; see `envs.spec.env_config`, also for its errors."""
        return env_config(self.env)

    def protocol(self) -> dict[str, Any]:
        """Everything but the policies; all rows of one table share it."""
        return {name: value for name, value in vars(self).items() if name not in ("policies", "latency_repeats")}


def row_key(policy: PolicySpec) -> str:
    """Name of a row's files."""
    return re.sub(r"\W+", "-", policy.label).strip("-")


def evaluate_command(comparison: Comparison, layout: RunLayout, policy: PolicySpec) -> tuple[str, ...]:
    """Command that measures one row."""
    options = {f"policy.{key}": value for key, value in policy.overrides.items()} | spec_options(comparison.env)
    return lerobot_eval(
        policy.path,
        [f"--policy.device={comparison.device}", *flags(options)],
        comparison.episodes,
        comparison.batch_size,
        comparison.seed,
        layout.evaluation(row_key(policy)),
    )


def evaluations(comparison: Comparison, layout: RunLayout) -> list[Stage]:
    """One evaluation per row; a finished one stays valid as long as the weights are the same."""
    from lerobot_sdm.policies.source.files import fingerprint

    return [
        Stage(
            f"evaluate_{row_key(policy)}",
            f"Evaluate: {policy.label}",
            layout.evaluation(row_key(policy)),
            evaluate_command(comparison, layout, policy),
            settings={"weights": fingerprint(policy.path)},
            needs=(),
            device="" if comparison.device == "cpu" else comparison.device,
        )
        for policy in comparison.policies
    ]
