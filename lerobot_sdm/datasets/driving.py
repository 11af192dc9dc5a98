"""The settings of a recording, and the driver that runs an expert in an environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
from lerobot.envs.configs import EnvConfig

from lerobot_sdm.datasets.episodes import Attempt, Episode, Rules, drive
from lerobot_sdm.experts import Expert


@dataclass(frozen=True)
class Setting:
    """Everything that determines the content of a recording's attempts.

    Attributes:
        env_config: Configuration of the environment, as used for recording.
        expert_class: The expert that acts.
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
    """Runs an expert in an environment and stores each attempt in a file."""

    def __init__(self, setting: Setting, folder: Path):
        self.setting = setting
        self.folder = folder
        (vector_envs,) = setting.env_config.create_envs(n_envs=1).values()
        self.env: gym.Env = vector_envs[0].envs[0].unwrapped
        self.expert = setting.expert_class(setting.env_config.task, **setting.expert_options)

    def run(self, attempt: Attempt) -> Episode:
        """Run the attempt and store it; returns its outcome without the frames."""
        episode = drive(self.env, self.expert, attempt, self.setting.rules, self.setting.columns)
        episode.save(self.path(attempt))
        return Episode(attempt, episode.kept, episode.success_steps)

    def path(self, attempt: Attempt) -> Path:
        """File of an attempt, kept until the dataset is written."""
        return self.folder / f"attempt-{attempt.index:05d}.npz"

    def stored(self, attempt: Attempt) -> Episode | None:
        """The outcome of an attempt that has been run before, otherwise None."""
        path = self.path(attempt)
        return Episode.load(path, with_frames=False) if path.exists() else None
