"""A task with two ways to act: turn a faucet, in either direction.

Meta-World's `faucet-open` and `faucet-close` are one scene with one goal each. Here both directions count, so the hand
may push the handle from either side. Between the two ways it comes down on the handle's end and turns nothing.
"""

from typing import Any

import numpy as np
from metaworld.envs.sawyer_faucet_open_v3 import SawyerFaucetOpenEnvV3
from numpy.typing import NDArray

SIDES = ("handleStartOpen", "handleStartClose")
"""Sites on the two sides of the handle's end, which the hand pushes in `faucet-open` and in `faucet-close`."""

TURNED = np.deg2rad(65.0)
"""Angle of the handle that counts as turned, radians: `faucet-close` asks for about as much."""


class SawyerFaucetTurnEnv(SawyerFaucetOpenEnvV3):
    """Turn the handle by 65 degrees, in either direction. Random per episode: where the faucet stands."""

    task_description = "Turn the handle of the faucet, in either direction"

    def side(self, way: int) -> NDArray[np.float64]:
        """Position (3,) of the side of the handle that way 0 (open) or 1 (close) pushes, as those tasks observe it."""
        return self._get_site_pos(SIDES[way]) + np.array([0.0, 0.0, -0.01])

    def evaluate_state(self, obs: NDArray[np.float64], action: NDArray[np.float32]) -> tuple[float, dict[str, Any]]:
        """Reward from 0 to 10, in proportion to the handle's angle."""
        turned = abs(float(self.data.joint("knob_Joint_1").qpos[0]))
        return 10.0 * min(1.0, turned / TURNED), {"success": float(turned >= TURNED)}
