"""A scripted expert for DexArt's tasks: goes to the handle, grasps it, and moves it along its arc."""

from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.errors import check_known
from lerobot_sdm.experts.base import Expert
from lerobot_sdm.experts.dexart_maneuvers import MANEUVERS


class DexArtExpert(Expert):
    """Runs a maneuver per task, using the simulator's state: handle, hinge, and contacts.

    Raises:
        InputError: The task is not a DexArt task.
    """

    name: ClassVar[str] = "dexart"
    env_types: ClassVar[tuple[str, ...]] = ("dexart",)

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True):
        super().__init__(task, action_noise, clip)
        check_known("--expert=dexart, task", task, MANEUVERS)
        self._actions: Iterator[NDArray[np.float64]] = iter(())

    def reset(self, env: gym.Env, seed: int, variant: int = 0) -> None:
        super().reset(env, seed, variant)
        self._actions = MANEUVERS[self.task](env.unwrapped)

    def plan(self, env: gym.Env) -> NDArray[np.float64]:
        """The next action of the maneuver, (22,); a finished maneuver holds still."""
        return next(self._actions)

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"maneuver": self.task}
