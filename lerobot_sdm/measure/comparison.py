"""Any policies in any environment that LeRobot knows, on the same seeds: evaluations, costs and one `results.json`."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import draccus
import yaml

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.measure.files import read_json
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.policy_spec import Contender
from lerobot_sdm.measure.quickstart_results import evaluated_metric, evaluated_successes, machine, stage_records
from lerobot_sdm.measure.stages import Stage
from lerobot_sdm.measure.statistics import bootstrap_mean, paired_difference, wilson_interval
from lerobot_sdm.specs import split_spec

if TYPE_CHECKING:
    from lerobot.envs.configs import EnvConfig

PACKAGES = ("lerobot_policy_sdm", "lerobot", "torch", "gymnasium", "numpy")
PUSHT_PACKAGES = ("gym-pusht", "pymunk", "shapely")
ENV_PACKAGES = {"pusht": PUSHT_PACKAGES, "pusht_dense": PUSHT_PACKAGES, "metaworld_pc": ("mujoco", "metaworld")}
REWARDS = {"pusht": ("coverage", 1.0), "pusht_dense": ("closeness", 1.0), "metaworld_pc": ("reward", 10.0)}
"""What an environment's highest reward of an episode is, and the most that it can be. Push-T's is the target's covered
share, over the 95% that make a success, and at most 1, or how close the block comes; MetaWorld's is 10 where the task
is solved."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Args:
        env: `TYPE[,FIELD=VALUE...]`, fields as `--env.FIELD` of LeRobot's commands.
        policies: The rows; the first is what the others are held against.
        episodes: Episodes for each row.
        seed: Seed of the first episode; episode i has `seed` + i in every row.
        batch_size: Episodes that run together.
        device: Torch device of the policies.
        threads: CPU threads of each command.
        latency_repeats: Timed chunks for each row.

    Raises:
        InputError: A number is no positive one, a label stands twice, or there is no such environment.
    """

    env: str
    policies: tuple[Contender, ...]
    episodes: int = 100
    seed: int = 100_000
    batch_size: int = 50
    device: str = "cpu"
    threads: int = 1
    latency_repeats: int = 30

    def __post_init__(self) -> None:
        for name in ("episodes", "batch_size", "threads", "latency_repeats"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}: must be at least 1.")
        keys = [row_key(policy) for policy in self.policies]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"--policy: two rows are called '{key}'. Name them apart: --policy=PATH,label=NAME.")
        self.env_config()

    def env_options(self) -> dict[str, str]:
        """The environment as options of LeRobot's commands, without their dashes: `env.type` first."""
        kind, settings = split_spec(self.env, "--env", "TYPE,FIELD=VALUE")
        return {"env.type": kind} | {f"env.{key}": value for key, value in settings.items()}

    def env_config(self) -> EnvConfig:
        """LeRobot's configuration of the environment.

        Raises:
            InputError: There is no such environment or field, or a value does not fit.
        """
        (_, kind), *options = self.env_options().items()
        values = {name.removeprefix("env."): yaml.safe_load(value) for name, value in options}
        if kind in FAMILIES:
            _check_names(kind, values, FAMILIES[kind].fields())
            FAMILIES[kind].check(values)

        from lerobot.envs.configs import EnvConfig

        from lerobot_sdm.plugin import register_all

        register_all()
        choices = EnvConfig.get_known_choices()
        if kind not in choices:
            raise unknown_name("--env", kind, choices)
        _check_names(kind, values, [item.name for item in fields(choices[kind])])
        try:
            return draccus.decode(EnvConfig, {"type": kind, **values})
        except (draccus.utils.DecodingError, ValueError) as error:
            raise InputError(f"--env={self.env}: {error}") from error

    def protocol(self) -> dict[str, Any]:
        """Everything but the policies: rows of one table share it."""
        return {name: value for name, value in vars(self).items() if name not in ("policies", "latency_repeats")}


def _check_names(kind: str, values: Iterable[str], known: Collection[str]) -> None:
    for key in values:
        if key not in known:
            raise unknown_name(f"--env {kind}", key, known)


def row_key(policy: Contender) -> str:
    """Name of a row's files."""
    return re.sub(r"\W+", "-", policy.label).strip("-")


def evaluate_command(comparison: Comparison, layout: RunLayout, policy: Contender) -> tuple[str, ...]:
    """Command that measures one row."""
    options = {f"policy.{key}": value for key, value in policy.overrides.items()} | comparison.env_options()
    return (
        "lerobot-eval",
        f"--policy.path={policy.path}",
        f"--policy.device={comparison.device}",
        *(f"--{key}={value}" for key, value in options.items()),
        f"--eval.n_episodes={comparison.episodes}",
        f"--eval.batch_size={min(comparison.batch_size, comparison.episodes)}",
        "--eval.use_async_envs=false",
        f"--seed={comparison.seed}",
        f"--output_dir={layout.evaluation(row_key(policy))}",
    )


def evaluations(comparison: Comparison, layout: RunLayout) -> list[Stage]:
    """One evaluation for each row; one that has finished stands as long as the weights are the same."""
    from lerobot_sdm.teachers import fingerprint

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


def measure_costs(comparison: Comparison) -> list[dict[str, Any]]:
    """Time and count what a decision costs each row, from first observations of the environment."""
    import torch
    from lerobot.envs import close_envs, make_env, make_env_pre_post_processors, preprocess_observation

    from lerobot_sdm.measure.contenders import load_contender
    from lerobot_sdm.measure.latency import measure_latency

    torch.set_num_threads(comparison.threads)
    policies = [load_contender(policy, comparison.device) for policy in comparison.policies]
    config = comparison.env_config()
    environments = make_env(config, n_envs=1)
    ((environment,),) = (tasks.values() for tasks in environments.values())
    before, _ = make_env_pre_post_processors(env_cfg=config, policy_cfg=policies[0].config)
    seeds = range(comparison.seed, comparison.seed + min(10, comparison.episodes))
    observations = [before(preprocess_observation(environment.reset(seed=[seed])[0])) for seed in seeds]
    close_envs(environments)
    return [asdict(row) for row in measure_latency(policies, observations, comparison.latency_repeats)]


def collect_comparison(comparison: Comparison, layout: RunLayout, costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Gather a comparison's measurements.

    Args:
        comparison: Its settings.
        layout: Its folder, all evaluations being finished.
        costs: `measure_costs`.

    Returns:
        JSON-compatible: protocol, one entry for each row with the outcome of every episode, versions and machine.
    """
    kind = comparison.env_options()["env.type"]
    outcomes = [evaluated_successes(layout.evaluation(row_key(policy))) for policy in comparison.policies]
    name, most = REWARDS.get(kind, ("reward", 1.0))
    rewards = [
        [value / most for value in evaluated_metric(layout.evaluation(row_key(policy)), "max_rewards")]
        for policy in comparison.policies
    ]
    commands = {record["stage"]: record["command"] for record in stage_records(layout.root)}
    rows = [
        {
            "key": row_key(policy),
            "label": policy.label,
            "overrides": policy.overrides,
            "training": _training(policy),
            "command": commands[f"evaluate_{row_key(policy)}"],
            "successes": success,
            "success_rate": asdict(wilson_interval(sum(success), len(success))),
            "success_difference": asdict(paired_difference(success, outcomes[0])),
            "max_rewards": reward,
            "max_reward": asdict(bootstrap_mean(reward)),
            "max_reward_difference": asdict(
                bootstrap_mean([mine - reference for mine, reference in zip(reward, rewards[0], strict=True)])
            ),
            "latency": cost,
        }
        for policy, success, reward, cost in zip(comparison.policies, outcomes, rewards, costs, strict=True)
    ]
    packages = (*PACKAGES, *ENV_PACKAGES.get(kind, ()))
    return {
        "task": comparison.env,
        "reward": name,
        "protocol": comparison.protocol(),
        "evaluation_seeds": [comparison.seed, comparison.seed + comparison.episodes - 1],
        "rows": rows,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "machine": machine(),
    }


def _training(policy: Contender) -> dict[str, Any] | None:
    """How a checkpoint was trained, as far as LeRobot wrote it down beside the weights."""
    from lerobot.configs.train import TRAIN_CONFIG_NAME

    file = Path(policy.path) / TRAIN_CONFIG_NAME
    if not file.is_file():
        return None
    config = read_json(file)
    return {"policy": config["policy"]["type"], **{name: config[name] for name in ("steps", "batch_size", "seed")}}
