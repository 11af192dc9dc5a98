"""Replays Minari's Adroit datasets, such as D4RL/door/expert-v2, to record point clouds of them.

They contain the original environments' full observations and actions, one every 10 ms. The start state follows from the
first observation; from there the simulator executes the recorded actions, and must reproduce the recorded observations.
"""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym
import numpy as np

from lerobot_sdm.envs.adroit.tasks import hand_task
from lerobot_sdm.errors import InputError, missing_package
from lerobot_sdm.experts.base import Expert

if TYPE_CHECKING:
    from minari import EpisodeData, MinariDataset

logger = logging.getLogger(__name__)

TOLERANCE = 0.01
"""Allowed deviation from a recorded observation: meters or radians, relative for large velocities."""

ENV_VERSION = "v1"
"""Version of AdroitHand<Task> with the physics of our environments."""


class MinariExpert(Expert):
    """Replays the episodes of a local Minari dataset; the seed is the number of the episode.

    An episode that the simulator does not reproduce is not recorded; a warning says where it deviates.

    Args:
        task, action_noise, clip: See `Expert`; noise is refused, because it would deviate from the recording.
        path: Folder of the dataset, which contains `data`.

    Raises:
        InputError: The dataset is from another environment, or is not a dataset.
    """

    name: ClassVar[str] = "minari"
    env_types: ClassVar[tuple[str, ...]] = ("adroit",)
    reads: ClassVar[str] = "the folder of a Minari dataset, such as ~/.minari/datasets/D4RL/door/expert-v2"
    needs_path: ClassVar[bool] = True

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True, path: Path | None = None):
        super().__init__(task, action_noise, clip)
        if path is None:
            raise InputError(f"--expert-path: is missing. Expert '{self.name}' needs {self.reads}.")
        if action_noise:
            raise InputError(f"--action_noise={action_noise}: a replay cannot have noise. Drop the option.")
        self._path = Path(path)
        self._dataset = open_dataset(self._path, task)
        self._episode: EpisodeData | None = None
        self._step = 0

    def start(self, env: gym.Env, seed: int) -> dict[str, np.ndarray]:
        sim = env.unwrapped
        if sim.action_repeat != 1:
            raise InputError(
                f"--env.action_repeat={sim.action_repeat}: Minari's actions last 10 ms. Give --env.action_repeat=1."
            )
        if seed >= self._dataset.total_episodes:
            raise InputError(
                f"--expert-path={self._path}: has {self._dataset.total_episodes} episodes, but recording needs number "
                f"{seed}. Lower --episodes, or accept more episodes with --keep or --min_success_steps."
            )
        (self._episode,) = self._dataset.iterate_episodes([seed])
        if len(self._episode) > sim._max_episode_steps:
            raise InputError(
                f"--env.episode_length={sim._max_episode_steps}: episode {seed} has {len(self._episode)} steps. "
                "Give at least as many."
            )
        env.reset(seed=seed)
        state = sim.hand_task.start_of(sim.model, sim.data, self._episode.observations[0])
        return env.reset(seed=seed, options={"state": state})[0]

    def reset(self, env: gym.Env, seed: int, variant: int = 0) -> None:
        super().reset(env, seed, variant)
        self._step = 0

    def plan(self, env: gym.Env) -> np.ndarray:
        """The recorded action, (A,)."""
        recorded = self._episode.observations[self._step]
        parted = np.abs(env.unwrapped.expert_state - recorded) / np.maximum(1.0, np.abs(recorded))
        if parted.max() > TOLERANCE:
            self.refusal = f"the replay deviates by {parted.max():.2g} from the recording at step {self._step}"
            logger.warning("Episode %d of %s: %s. It is not recorded.", self._episode.id, self._path, self.refusal)
        action = self._episode.actions[self._step]
        self._step += 1
        self.exhausted = self.refusal is not None or self._step == len(self._episode)
        return action

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"dataset": self._dataset.spec.dataset_id, "tolerance": TOLERANCE}


def open_dataset(path: Path, task: str) -> "MinariDataset":
    """Open a local Minari dataset of an Adroit task.

    Args:
        path: Folder of the dataset.
        task: The task that the dataset must have.

    Raises:
        InputError: Minari is not installed, or the dataset is from another environment, or cannot be read.
    """
    try:
        from minari import MinariDataset
    except ImportError as error:
        raise missing_package("--expert=minari", "Minari", "minari") from error
    try:
        dataset = MinariDataset(path / "data" if (path / "data").is_dir() else path)
    except Exception as error:  # Minari can raise any exception here.
        raise InputError(f"--expert-path={path}: not a Minari dataset ({type(error).__name__}: {error}).") from error
    made_in = dataset.env_spec.id if dataset.env_spec else "an environment it does not name"
    expected = f"AdroitHand{task.capitalize()}-{ENV_VERSION}"
    # Sparse and dense environments differ only in their rewards.
    if not re.fullmatch(expected.replace("-", "(Sparse|Dense)?-"), made_in):
        raise InputError(
            f"--expert-path={path}: was made in {made_in}, not in {expected}. Give a dataset from that one."
        )
    known = hand_task(task)
    shapes = (dataset.observation_space.shape, dataset.action_space.shape)
    if shapes != ((known.full_observation_size,), (known.action_size,)):
        raise InputError(
            f"--expert-path={path}: observations and actions have shapes {shapes}, but {task} has "
            f"{(known.full_observation_size,)} and {(known.action_size,)}."
        )
    return dataset
