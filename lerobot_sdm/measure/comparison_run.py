"""Run a comparison: evaluations, costs, results, table and plot."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.train import TRAIN_CONFIG_NAME
from lerobot.envs import close_envs, make_env, make_env_pre_post_processors, preprocess_observation
from rich.console import Console

from lerobot_sdm.envs.spec import spec_options
from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json, write_text
from lerobot_sdm.measure.comparison import Comparison, evaluations, row_key
from lerobot_sdm.measure.comparison_report import report
from lerobot_sdm.measure.latency import measure_latency
from lerobot_sdm.measure.pictures import rewards_plot
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.records import evaluated_metric, evaluated_successes, machine, stage_records, versions
from lerobot_sdm.measure.runner import run_warm, shared_variables
from lerobot_sdm.measure.stages import claimed_folder
from lerobot_sdm.measure.statistics import bootstrap_mean, paired_difference, success_rate
from lerobot_sdm.policies.loaded_policy import load_from_spec, read_config
from lerobot_sdm.policies.pipelines import check_pipelines
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.processors.sizes import check_environment

PACKAGES = ("lerobot_policy_sdm", "lerobot", "torch", "gymnasium", "numpy")
PUSHT_PACKAGES = ("gym-pusht", "pymunk", "shapely")
ENV_PACKAGES = {"pusht": PUSHT_PACKAGES, "pusht_dense": PUSHT_PACKAGES, "metaworld_pc": ("mujoco", "metaworld")}
REWARDS = {"pusht": ("coverage", 1.0), "pusht_dense": ("closeness", 1.0), "metaworld_pc": ("reward", 10.0)}
"""Name of an environment's highest reward of an episode, and its upper bound. For Push-T it is the covered share of the
target, divided by the 95% that make a success and capped at 1, or how close the block comes; for MetaWorld it is 10 if
the task is solved. Other rewards have no bound, so their place is taken by success."""


def run_comparison(
    comparison: Comparison, layout: RunLayout, console: Console, verbose: bool = False
) -> dict[str, Any]:
    """Run a comparison's unfinished evaluations, and rewrite its results.

    Args:
        comparison: New rows are added; existing rows must have the same weights.
        layout: Its folder: new, empty, or from an earlier call with the same protocol.
        verbose: Show the commands' full output.

    Returns:
        Content of `results.json`.

    Raises:
        InputError: A policy does not fit the environment or cannot be timed, the folder belongs to something else or
            is in use, the protocol changed, or a finished row's weights did.
        CommandFailedError: An evaluation fails.
    """
    for policy in comparison.policies:
        check_environment(read_config(policy), comparison.env_config(), policy.path)
        check_pipelines(policy.path)  # Downloads those of a Hub policy, too: the commands below are offline.
    stages = evaluations(comparison, layout)
    # First, because it refuses what the evaluations would not: policies without a denoiser, and several tasks.
    with console.status("Timing action chunks"):
        costs = measure_costs(comparison)
    with claimed_folder(layout.root, comparison.protocol()):
        run_warm(stages, layout.root, console, os.environ | shared_variables(comparison.threads), verbose)
        results = collect_comparison(comparison, layout, costs)
        rewards_plot(results, layout.root / "rewards.png")
        write_text(layout.root / "table.md", report(results).markdown())
        write_json(layout.results, results)
    return results


def measure_costs(comparison: Comparison) -> list[dict[str, Any]]:
    """Measure each row's cost per decision, on first observations of the environment."""
    torch.set_num_threads(comparison.threads)
    policies = [load_from_spec(policy, comparison.device) for policy in comparison.policies]
    config = comparison.env_config()
    environments = make_env(config, n_envs=1)
    tasks = [environment for group in environments.values() for environment in group.values()]
    if len(tasks) != 1:
        close_envs(environments)
        raise InputError(f"--env={comparison.env}: stands for {len(tasks)} tasks. Give a single one.")
    before, _ = make_env_pre_post_processors(env_cfg=config, policy_cfg=policies[0].config)
    seeds = range(comparison.seed, comparison.seed + min(10, comparison.episodes))
    try:
        observations = [before(preprocess_observation(tasks[0].reset(seed=[seed])[0])) for seed in seeds]
    finally:
        close_envs(environments)
    return [asdict(row) for row in measure_latency(policies, observations, comparison.latency_repeats)]


def collect_comparison(comparison: Comparison, layout: RunLayout, costs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Gather a comparison's measurements, once its evaluations have finished.

    Args:
        costs: Output of `measure_costs`.

    Returns:
        JSON-compatible: protocol, one entry per row with the outcome of every episode, versions and machine.
    """
    kind = spec_options(comparison.env)["env.type"]
    outcomes = [evaluated_successes(layout.evaluation(row_key(policy))) for policy in comparison.policies]
    name, most = REWARDS.get(kind, ("success", 1.0))
    metric = "max_rewards" if kind in REWARDS else "successes"
    rewards = [
        [value / most for value in evaluated_metric(layout.evaluation(row_key(policy)), metric)]
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
            "success_rate": asdict(success_rate(success)),
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
    return {
        "task": comparison.env,
        "reward": name,
        "protocol": comparison.protocol(),
        "evaluation_seeds": [comparison.seed, comparison.seed + comparison.episodes - 1],
        "rows": rows,
        "versions": versions((*PACKAGES, *ENV_PACKAGES.get(kind, ()))),
        "machine": machine(),
    }


def _training(policy: PolicySpec) -> dict[str, Any] | None:
    """How a checkpoint was trained, as far as LeRobot recorded it beside the weights."""
    file = Path(policy.path) / TRAIN_CONFIG_NAME
    if not file.is_file():
        return None
    config = read_json(file)
    return {"policy": config["policy"]["type"], **{name: config[name] for name in ("steps", "batch_size", "seed")}}
