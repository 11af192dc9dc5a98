"""A task with two ways to act: reach a puck behind a wall without touching the wall, passing it on either side.

Demonstrations that pass on both sides from the same start make the conditional distribution of actions bimodal.
The mean of the two ways leads straight into the wall, so a policy that outputs the conditional mean must fail
here, while one that samples commits to a side. Scene, robot and success radius are those of Meta-World's
`reach-wall`; the wall is narrower and stands centered before the hand, which starts below the top of the wall.
"""

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from metaworld.envs.sawyer_reach_wall_v3 import SawyerReachWallEnvV3
from numpy.typing import NDArray

WALL_Y = 0.75
"""Center of the wall in the depth direction, meters."""

WALL_HALF_WIDTH = 0.06
"""Half width of the wall, centered at x = 0, meters: half of that in `reach-wall`. The wall is 0.12 high."""

TRAVEL_HEIGHT = 0.1
"""Height of the hand at the start and of the target, meters: below the top of the wall."""

START_Y = 0.64
"""Where the hand starts in the depth direction, meters."""


class SawyerDetourEnv(SawyerReachWallEnvV3):
    """Reach the puck behind the wall; touching the wall ends the episode without success.

    Random per episode: where the hand starts along x, where the puck lies. Success is a fingertip center within
    5 cm of the point above the puck at the height of the fingertips, as in `reach-wall`.
    """

    task_description = "Reach the puck behind the wall without touching the wall, passing it on either side"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        wall = self.model.body("wall")
        wall.pos[0] = 0.0
        self._wall_geoms = range(wall.geomadr[0], wall.geomadr[0] + wall.geomnum[0])
        self.model.geom_size[self._wall_geoms, 0] = WALL_HALF_WIDTH
        # Its original bricks are hard to tell from the wooden table in a video.
        self.model.geom_matid[self._wall_geoms] = -1
        self.model.geom_rgba[self._wall_geoms] = (0.95, 0.6, 0.1, 1.0)
        self._touched_wall = False
        # hand x | puck x, y
        self._random_reset_space = Box(np.array([-0.02, -0.02, 0.86]), np.array([0.02, 0.02, 0.88]), dtype=np.float64)

    def reset_model(self) -> NDArray[np.float64]:
        """Draw a start and a puck position; returns Meta-World's observation (39,)."""
        hand_x, puck_x, puck_y = self._get_state_rand_vec()
        self.hand_init_pos = np.array([hand_x, START_Y, TRAVEL_HEIGHT])
        self._reset_hand()
        self.obj_init_pos = np.array([puck_x, puck_y, 0.02])
        self._set_obj_xyz(self.obj_init_pos)
        self._target_pos = np.array([puck_x, puck_y, self.tcp_center[2]])
        self.model.site("goal").pos = self._target_pos
        self.maxReachDist = np.linalg.norm(self.init_tcp - self._target_pos)
        self._touched_wall = False
        return self._get_obs()

    def evaluate_state(self, obs: NDArray[np.float64], action: NDArray[np.float32]) -> tuple[float, dict[str, Any]]:
        """As `reach-wall`, but no success after touching the wall."""
        reward, info = super().evaluate_state(obs, action)
        contacts = self.data.contact
        self._touched_wall |= bool(np.isin(contacts.geom, self._wall_geoms).any())
        info["failed"] = float(self._touched_wall)
        info["success"] = float(info["success"] and not self._touched_wall)
        return reward, info
