"""Push-T with a dense reward that grows as the block approaches its target, anywhere on the table.

LeRobot's `pusht` rewards coverage, which is 0 wherever block and target do not overlap and so teaches nothing there.
Everything else is gym-pusht's: physics, seeds, observations, and the end of an episode.
"""

from typing import Any

import numpy as np

from lerobot_sdm.errors import missing_package

try:
    from gym_pusht.envs.pusht import PushTEnv
except ModuleNotFoundError as error:
    raise missing_package("--env.type=pusht_dense", "gym-pusht", "pusht") from error

REACH = 400.0
"""Mean distance, in pixels of the 512 x 512 table, at which the reward reaches 0."""

LOCAL_KEYPOINTS = np.array(
    [(0, 0), (-60, 0), (60, 0), (60, 30), (-60, 30), (-15, 30), (15, 30), (15, 120), (-15, 120)], dtype=np.float64
)
"""The block's origin and the corners of its two bars, in its own frame (9, 2), in pixels."""


def block_keypoints(pose: np.ndarray) -> np.ndarray:
    """Positions of a block's keypoints on the table.

    Args:
        pose: x, y in pixels and angle in radians (3,).

    Returns:
        (9, 2), in pixels.
    """
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return LOCAL_KEYPOINTS @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]


def closeness(block_pose: np.ndarray, goal_pose: np.ndarray) -> float:
    """1 for a block on its target, less by its keypoints' mean distance from there over `REACH`, and at least 0.

    Args:
        block_pose: (3,), as for `block_keypoints`.
        goal_pose: (3,).
    """
    distance = np.linalg.norm(block_keypoints(block_pose) - block_keypoints(goal_pose), axis=1).mean()
    return max(0.0, 1.0 - float(distance) / REACH)


class DensePushTEnv(PushTEnv):
    """gym-pusht's environment with `closeness` as its reward; the coverage is in `info["coverage"]`."""

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Push for a tenth of a second toward a point of the table (2,)."""
        observation, _, terminated, truncated, info = super().step(action)
        return observation, closeness(info["block_pose"], info["goal_pose"]), terminated, truncated, info
