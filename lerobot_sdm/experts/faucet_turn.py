"""The expert of the `faucet-turn` task: turns the handle in either direction from the same start."""

from typing import ClassVar

import gymnasium as gym
import numpy as np

from lerobot_sdm.experts.base import Expert
from lerobot_sdm.experts.scripted import ScriptedExpert

TASKS = ("faucet-open", "faucet-close")
"""Meta-World's tasks whose scripted policies know one direction each, by variant."""


class FaucetTurnExpert(Expert):
    """Acts as the scripted policy of `faucet-open` (variant 0) or `faucet-close` (variant 1)."""

    name: ClassVar[str] = "faucet-turn"
    env_types: ClassVar[tuple[str, ...]] = ("metaworld_pc",)
    variants: ClassVar[int] = 2

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True):
        super().__init__(task, action_noise, clip)
        self._policies = [ScriptedExpert(known) for known in TASKS]

    def plan(self, env: gym.Env) -> np.ndarray:
        """The scripted policy's action (4,), for the side of the handle that its task observes."""
        state = env.unwrapped.expert_state.copy()
        state[4:7] = env.unwrapped.simulator.side(self.variant)
        return self._policies[self.variant].action(state)
