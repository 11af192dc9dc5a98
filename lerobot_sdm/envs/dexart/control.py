"""From DexArt's actions to drive targets: damped least squares for the arm, set points for the fingers."""

import numpy as np
from numpy.typing import NDArray

DAMPING = 0.05
MAX_JOINT_SPEED = np.pi
TWIST_LIMIT = 1.0
"""Meters and radians per second that an action of 1 asks for."""

TWIST = slice(0, 6)
FINGERS = slice(6, 22)
ACTION_SIZE = 22


def arm_velocity(twist: NDArray[np.float64], jacobian: NDArray[np.float64]) -> NDArray[np.float64]:
    """Joint velocities (6,) that move the end link as asked, clipped to half a turn per second.

    J^T (J J^T + lambda^2 I)^-1 v, which near a singularity is slow instead of wild.

    Args:
        twist: (6,) linear, then angular velocity.
        jacobian: (6, 6) of the end link.
    """
    damped = jacobian @ jacobian.T + DAMPING**2 * np.eye(6)
    return np.clip(jacobian.T @ np.linalg.solve(damped, twist), -MAX_JOINT_SPEED, MAX_JOINT_SPEED)


def finger_targets(action: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray:
    """Angles (16,) of the last 16 entries of an action: -1 and 1 are the ends of each joint's range."""
    return low + (np.clip(action[FINGERS], -1.0, 1.0) + 1.0) / 2 * (high - low)


def finger_actions(angles: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray:
    """The inverse of `finger_targets`, for experts: entries (16,) in -1..1."""
    return np.clip(2 * (angles - low) / (high - low) - 1, -1.0, 1.0)
