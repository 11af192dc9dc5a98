"""The interface between DexArt's tasks and the physics engine: what tasks read, and what they request."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOUCH_IMPULSE = 1e-2
"""Summed contact impulse of a simulation step above which a link counts as touching another, N s."""

CONTROL_STEP = 0.04
"""Seconds; 25 control steps per second."""


@dataclass(frozen=True)
class HandleRange:
    """Annotated angles of an object's joint, radians.

    Args:
        left: Angle near the start.
        middle: Target angle.
    """

    left: float
    middle: float


@dataclass(frozen=True)
class Placement:
    """Start state of an episode.

    Args:
        position: (3,) of the object's root in the world, meters.
        yaw: Its turn about z, radians.
        angle: Its joint's, radians.
    """

    position: NDArray[np.float64]
    yaw: float
    angle: float


@dataclass(frozen=True)
class Measured:
    """One state of the world, after a control step or at the start. Meters, radians, seconds, world frame.

    Args:
        qpos: (22,) the robot's joints, in the order of `ACTIVE_JOINTS`.
        qvel: (22,) their velocities.
        palm_position: (3,).
        palm_rotation: (3, 3).
        palm_velocity: (3,).
        palm_spin: (3,) angular velocity.
        handle: (3,) the point to reach for.
        angle: Of the object's joint.
        height: Of the object's root above where it started.
        fingers: How many fingers, thumb included, touch the handle's link.
        palm_touches: Whether the palm touches it.
        arm_touches: Whether the arm touches the object.
        base_touched: Whether the hand touches another part of the object.
        tracking_error: How far the end link's displacement in this step is from what was asked for, meters.
    """

    qpos: NDArray[np.float64]
    qvel: NDArray[np.float64]
    palm_position: NDArray[np.float64]
    palm_rotation: NDArray[np.float64]
    palm_velocity: NDArray[np.float64]
    palm_spin: NDArray[np.float64]
    handle: NDArray[np.float64]
    angle: float
    height: float
    fingers: int
    palm_touches: bool
    arm_touches: bool
    base_touched: bool
    tracking_error: float
