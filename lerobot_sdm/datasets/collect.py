"""Producing episodes in a fixed order with any number of processes, and going on where an earlier run stopped."""

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from lerobot.envs.configs import EnvConfig

from lerobot_sdm.datasets.episodes import Attempt, Episode, Rules, attempts, drive
from lerobot_sdm.datasets.processes import die_with_parent
from lerobot_sdm.experts import Expert


@dataclass(frozen=True)
class Setting:
    """All that decides what the attempts of a recording contain.

    Attributes:
        env_config: Configuration of the environment, as it is used for recording.
        expert_class: Who drives.
        expert_options: Passed to the expert after the task.
        rules: Which episodes are kept.
        seed: Seed of the first start state.
    """

    env_config: EnvConfig
    expert_class: type[Expert]
    expert_options: dict[str, Any]
    rules: Rules
    seed: int

    @property
    def columns(self) -> dict[str, str]:
        """Observation key of the environment -> column of the dataset."""
        mapped = self.env_config.features_map
        return {key: mapped[key] for key in self.env_config.features if key != "action"}


class Driver:
    """An environment with an expert in it, which turns attempts into files."""

    def __init__(self, setting: Setting, folder: Path):
        self.setting = setting
        self.folder = folder
        (vector_envs,) = setting.env_config.create_envs(n_envs=1).values()
        self.env: gym.Env = vector_envs[0].envs[0].unwrapped
        self.expert = setting.expert_class(setting.env_config.task, **setting.expert_options)

    def run(self, attempt: Attempt) -> Episode:
        """Drive the attempt and store it; returns its outcome without the frames."""
        episode = drive(self.env, self.expert, attempt, self.setting.rules, self.setting.columns)
        episode.save(self.path(attempt))
        return Episode(attempt, episode.kept, episode.success_steps)

    def path(self, attempt: Attempt) -> Path:
        """Where an attempt is kept until the dataset is written."""
        return self.folder / f"attempt-{attempt.index:05d}.npz"

    def stored(self, attempt: Attempt) -> Episode | None:
        """The outcome of an attempt that was driven before, None if it was not."""
        path = self.path(attempt)
        return Episode.load(path, with_frames=False) if path.exists() else None


_driver: Driver | None = None


def _open_driver(setting: Setting, folder: Path) -> None:
    """Prepare a worker process."""
    global _driver
    die_with_parent()
    _driver = Driver(setting, folder)


def _run_in_worker(attempt: Attempt) -> Episode:
    return _driver.run(attempt)


def outcomes(driver: Driver, workers: int) -> Iterator[Episode]:
    """The outcomes of all attempts in order, without end; their frames lie in the driver's folder.

    Attempts whose files are there already are not driven again.

    Args:
        driver: What is recorded, and where to; drives itself where one process is enough.
        workers: Processes that drive at the same time. Neither the order nor the content depends on them.
    """
    todo = attempts(driver.setting.seed, driver.setting.expert_class.variants)
    if workers == 1:
        for attempt in todo:
            yield driver.stored(attempt) or driver.run(attempt)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _open_driver, (driver.setting, driver.folder))
    ahead: deque[Episode | Future] = deque()
    try:
        for attempt in todo:
            ahead.append(driver.stored(attempt) or pool.submit(_run_in_worker, attempt))
            if len(ahead) >= 2 * workers:
                first = ahead.popleft()
                yield first.result() if isinstance(first, Future) else first
    finally:
        pool.shutdown(cancel_futures=True)
