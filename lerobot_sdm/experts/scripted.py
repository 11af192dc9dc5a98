"""MetaWorld's own scripted policies, one per task, and the expert of `faucet-turn`, which uses two of them."""

import warnings
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from metaworld.policies import ENV_POLICY_MAP

from lerobot_sdm.errors import check_known
from lerobot_sdm.experts.base import Expert

FAUCET_TASKS = ("faucet-open", "faucet-close")
"""Meta-World's tasks whose scripted policies know one direction each, by variant."""


class ScriptedExpert(Expert):
    """The policy that MetaWorld ships for a task; a pure function of its 39-dimensional full state.

    Raises:
        InputError: MetaWorld has no scripted policy for the task.
    """

    name: ClassVar[str] = "scripted"
    env_types: ClassVar[tuple[str, ...]] = ("metaworld_pc",)

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True):
        super().__init__(task, action_noise, clip)
        policies = {known.removesuffix("-v3"): policy for known, policy in ENV_POLICY_MAP.items()}
        check_known("--expert=scripted, task", task, policies)
        self._policy = policies[task]()

    def plan(self, env: gym.Env) -> np.ndarray:
        """MetaWorld's action (4,) for the environment's full state: hand movement and gripper effort."""
        return self.action(env.unwrapped.expert_state)

    def action(self, state: np.ndarray) -> np.ndarray:
        """MetaWorld's action (4,) for its full state (39,)."""
        with warnings.catch_warnings():
            # MetaWorld warns at every step whose gain gives more than 1, which these policies do by design.
            warnings.filterwarnings("ignore", message="Constant\\(s\\) may be too high")
            return self._policy.get_action(state)

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"policy": type(self._policy).__name__}


class FaucetTurnExpert(Expert):
    """Acts as the scripted policy of `faucet-open` (variant 0) or `faucet-close` (variant 1)."""

    name: ClassVar[str] = "faucet-turn"
    env_types: ClassVar[tuple[str, ...]] = ("metaworld_pc",)
    variants: ClassVar[int] = 2

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True):
        super().__init__(task, action_noise, clip)
        check_known(f"--expert={self.name}, task", task, ("faucet-turn",))
        self._policies = [ScriptedExpert(known) for known in FAUCET_TASKS]

    def plan(self, env: gym.Env) -> np.ndarray:
        """The scripted policy's action (4,), for the side of the handle that its task observes."""
        state = env.unwrapped.expert_state.copy()
        state[4:7] = env.unwrapped.simulator.side(self.variant)
        return self._policies[self.variant].action(state)
