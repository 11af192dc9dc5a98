"""The expert of the `detour` task: passes the wall on either side from the same start."""

from typing import ClassVar

import gymnasium as gym
import numpy as np

from lerobot_sdm.envs.metaworld.detour import TRAVEL_HEIGHT, WALL_Y
from lerobot_sdm.errors import check_known
from lerobot_sdm.experts.base import Expert

CLEARANCE_X = 0.18
"""Sideways distance of the hand from the center, meters: the wall ends at 0.06 and the hand is 0.06 wide."""

CLEARANCE_Y = 0.08
"""Distance before and behind the middle of the wall at which the hand turns, meters."""

GAIN = 10.0
"""Commanded hand displacement per meter of distance, in units of the action space (1 is a centimeter per step)."""


class DetourExpert(Expert):
    """Moves around the wall at constant speed, along three waypoints: beside it, past it, at the puck.

    Variant 0 passes at negative x, variant 1 at positive x. From the first step on, the two paths differ in x and
    agree in y, so their mean is a straight line into the wall.
    """

    name: ClassVar[str] = "detour"
    env_types: ClassVar[tuple[str, ...]] = ("metaworld_pc",)
    variants: ClassVar[int] = 2

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True):
        super().__init__(task, action_noise, clip)
        check_known(f"--expert={self.name}, task", task, ("detour",))

    def reset(self, env: gym.Env, seed: int, variant: int = 0) -> None:
        super().reset(env, seed, variant)
        side = CLEARANCE_X if variant else -CLEARANCE_X
        puck = env.unwrapped.expert_state[36:38]
        self._waypoints = [np.array([side, WALL_Y - CLEARANCE_Y]), np.array([side, WALL_Y + CLEARANCE_Y]), puck]

    def plan(self, env: gym.Env) -> np.ndarray:
        """Straight toward the next waypoint, slower only near the last one, (4,); the gripper stays open."""
        hand = env.unwrapped.expert_state[:3]
        if len(self._waypoints) > 1 and np.linalg.norm(self._waypoints[0] - hand[:2]) < 0.02:
            self._waypoints.pop(0)
        way = np.append(self._waypoints[0], TRAVEL_HEIGHT) - hand
        return np.append(GAIN * way / max(1.0, GAIN * np.linalg.norm(way)), -1.0)
