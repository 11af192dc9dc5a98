"""The expert of the `detour` task: the same start, a way on each side of the wall."""

from typing import ClassVar

import gymnasium as gym
import numpy as np

from lerobot_sdm.envs.detour import TRAVEL_HEIGHT, WALL_Y
from lerobot_sdm.experts.base import Expert

CLEARANCE_X = 0.2
"""How far to the side the hand passes, metres: the wall ends at 0.12 and the open gripper is 0.1 wide."""

GAIN = 10.0
"""Hand displacement asked for per metre of distance, in units of the action space (1 is a centimetre per step)."""


class DetourExpert(Expert):
    """Drives around the wall along three waypoints: beside it, past it, to the puck.

    Variant 0 passes on the robot's left (negative x), variant 1 on its right.
    """

    name: ClassVar[str] = "detour"
    variants: ClassVar[int] = 2

    def reset(self, env: gym.Env, seed: int, variant: int = 0) -> None:
        super().reset(env, seed, variant)
        side = CLEARANCE_X if variant else -CLEARANCE_X
        puck = env.unwrapped.expert_state[36:38]
        self._waypoints = [np.array([side, WALL_Y - 0.07]), np.array([side, WALL_Y + 0.09]), puck]

    def plan(self, env: gym.Env) -> np.ndarray:
        """Proportional control towards the next waypoint, (4,); the gripper stays open."""
        hand = env.unwrapped.expert_state[:3]
        if len(self._waypoints) > 1 and np.linalg.norm(self._waypoints[0] - hand[:2]) < 0.03:
            self._waypoints.pop(0)
        target = np.append(self._waypoints[0], TRAVEL_HEIGHT)
        return np.append(GAIN * (target - hand), -1.0)
