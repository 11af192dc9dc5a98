"""How often the expert itself succeeds, on the seeds that policies are evaluated on."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import gymnasium as gym
from lerobot.envs.configs import EnvConfig

from lerobot_sdm.experts import Expert, default_expert, make_expert


def expert_successes(
    env_config: EnvConfig,
    seeds: Iterable[int],
    expert: str | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    **options: Any,
) -> list[bool]:
    """Let an expert do the episodes of an evaluation.

    Where the expert knows several ways of doing the task, they take turns.

    Args:
        env_config: The environment as policies are evaluated in it; one task.
        seeds: One for each episode, as `lerobot-eval` counts them up from `--seed`.
        expert: Name of the expert; the task's own if None.
        progress: Wraps the loop over seeds, for a progress bar.
        options: Passed to the expert, such as `action_noise`.

    Returns:
        Whether each episode succeeded, in order.
    """
    # Experts read the simulator's state and no cloud: the smallest one saves nearly all of the time.
    blind = replace(env_config, camera_size=1, num_points=1, render_size=1)
    env = gym.make(blind.gym_id, disable_env_checker=True, **blind.gym_kwargs)
    driver = make_expert(expert or default_expert(blind.type, blind.task), blind.task, **options)
    try:
        return [_succeeds(env, driver, seed, number % driver.variants) for number, seed in enumerate(progress(seeds))]
    finally:
        env.close()


def _succeeds(env: gym.Env, expert: Expert, seed: int, variant: int) -> bool:
    expert.start(env, seed)
    expert.reset(env, seed, variant)
    succeeded = over = False
    while not over:
        _, _, terminated, truncated, info = env.step(expert.act(env))
        succeeded |= bool(info["is_success"])
        over = terminated or truncated or expert.exhausted
    return succeeded
