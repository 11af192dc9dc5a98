"""Measure how often the expert succeeds on the policies' evaluation seeds."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym

from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.experts import Expert, default_expert, make_expert


@dataclass(frozen=True)
class ExpertEpisode:
    """Outcome of an expert's episode."""

    seed: int
    success: bool
    success_steps: int  # Simulator steps at the goal.
    steps: int  # Control steps.
    seconds: float
    cpu_seconds: float  # Of all threads; meaningful on a busy machine, too.


def expert_episodes(
    env_config: PointCloudEnvConfig, seeds: Iterable[int], expert: str | None = None, **options: Any
) -> Iterator[ExpertEpisode]:
    """Run an expert on an evaluation's episodes, one at a time.

    If the expert knows several ways to do the task, they alternate.

    Args:
        env_config: The environment as policies are evaluated in it; one task.
        seeds: One for each episode, as `lerobot-eval` counts them up from `--seed`.
        expert: Name of the expert; the task's own if None.
        options: Passed to the expert, such as `action_noise`.
    """
    # Experts read the simulator's state, not the cloud: the smallest cloud saves nearly all of the time.
    blind = replace(env_config, camera_size=1, num_points=1, render_size=1)
    env = gym.make(blind.gym_id, disable_env_checker=True, **blind.gym_kwargs)
    task = blind.single_task()
    driver = make_expert(expert or default_expert(blind.type, task), task, **options)
    try:
        for number, seed in enumerate(seeds):
            yield _driven(env, driver, seed, number % driver.variants)
    finally:
        env.close()


def expert_successes(
    env_config: PointCloudEnvConfig,
    seeds: Iterable[int],
    expert: str | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
    **options: Any,
) -> list[bool]:
    """Whether each episode of `expert_episodes` succeeded, in order.

    Args:
        env_config, seeds, expert, options: See `expert_episodes`.
        progress: Wraps the loop over seeds, for a progress bar.
    """
    return [episode.success for episode in expert_episodes(env_config, progress(seeds), expert, **options)]


def _driven(env: gym.Env, expert: Expert, seed: int, variant: int) -> ExpertEpisode:
    clock, processor = time.perf_counter(), time.process_time()
    expert.start(env, seed)
    expert.reset(env, seed, variant)
    success = over = False
    steps = 0
    while not over:
        _, _, terminated, truncated, info = env.step(expert.act(env))
        success |= bool(info["is_success"])
        steps += 1
        over = terminated or truncated or expert.exhausted
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - processor
    return ExpertEpisode(seed, success, int(info["success_steps"]), steps, seconds, cpu_seconds)
