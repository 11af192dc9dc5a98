"""Controls DexArt's robot by palm pose: targets, finger postures, and the actions that reach them."""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lerobot_sdm.envs.dexart.control import finger_actions
from lerobot_sdm.envs.dexart.robot import ARM_JOINTS, PALM
from lerobot_sdm.envs.dexart.world import MuJoCoWorld

UP = np.array([0.0, 0.0, 1.0])

THUMB_AT_REST = (0.3, 0.0, 0.0, 0.0)

PALM_SURFACE = 0.0111
"""Distance of the palm's face from its origin along its normal, meters."""

SETTLING_TIME = 0.12
"""Seconds in which a command corrects an error, speed limits permitting."""

ARM = len(ARM_JOINTS)
ITERATIONS, SHORT_ITERATIONS = 120, 12
MAX_SPEED = 2.5
STARTS = ((0.0, -0.3, -0.6, 0.0, 0.6, 0.0), (0.0, -0.3, -0.6, 0.0, 0.6, -1.6), (0.0, 0.3, -1.2, 0.0, 0.9, 1.6))
"""Start angles of the search for a pose, in addition to the current ones."""


@dataclass(frozen=True)
class PalmTarget:
    """Target pose of the palm.

    Args:
        position: (3,) world, meters.
        rotation: (3, 3); columns are the palm's normal, the direction of its thumb side, and that of the fingers.
        point: (3,) in the palm's frame, the point that should be at `position`.
        speed: Maximum speed of that point, meters per second.
    """

    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    point: NDArray[np.float64]
    speed: float = 0.5


def palm_rotation(normal: NDArray[np.float64], fingers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation (3, 3) of a palm that faces along `normal`, with fingers as close to `fingers` as possible."""
    x = normal / np.linalg.norm(normal)
    z = fingers - (fingers @ x) * x
    z /= np.linalg.norm(z)
    return np.column_stack([x, np.cross(z, x), z])


def turned(vector: NDArray[np.float64], axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Rotate a vector (3,) about a unit axis by an angle in radians."""
    return Rotation.from_rotvec(angle * axis).apply(vector)


def posture(*knuckles: float) -> NDArray[np.float64]:
    """Joint angles (16,) in the order of `FINGER_JOINTS`; the thumb rests, and the three other fingers bend alike.

    Args:
        knuckles: Four angles of each finger: sideways, then three knuckles, radians.
    """
    by_knuckle = [(angle, angle, angle, thumb) for angle, thumb in zip(knuckles, THUMB_AT_REST, strict=True)]
    return np.concatenate(by_knuckle)


def distance_to(world: MuJoCoWorld, target: PalmTarget) -> float:
    """Distance of the palm's point from its target position, meters."""
    return float(np.linalg.norm(_way(world, target)[0]))


def drive(world: MuJoCoWorld, target: PalmTarget, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The action (22,) that moves straight to a target while turning.

    The next step of the path is solved in joint space, because a twist alone would run into the joint limits.

    Args:
        world: The simulated robot.
        target: Target of the palm.
        angles: (16,) finger joint angles, see `posture`.
    """
    measured = world.measure()
    way, turn = _way(world, target)
    turn = _limited(turn, SETTLING_TIME)
    piece = replace(
        target,
        position=target.position - way + _limited(way, target.speed * SETTLING_TIME),
        rotation=Rotation.from_rotvec(turn).as_matrix() @ measured.palm_rotation,
    )
    return go(world, _solve(world, piece, measured.qpos[:ARM], SHORT_ITERATIONS)[0], angles, MAX_SPEED)


def reach(world: MuJoCoWorld, target: PalmTarget) -> NDArray[np.float64]:
    """Joint angles (6,) of the arm that bring the palm to a target, or as close as possible.

    Damped least squares from several starts, within the joint limits; among the solutions that arrive, the one with
    the shortest joint path.
    """
    here = world.measure().qpos[:ARM]
    best, best_cost = here, np.inf
    for start in (here, *np.array(STARTS)):
        angles, error = _solve(world, target, start, ITERATIONS)
        cost = np.abs(angles - here).max() + 100 * error
        if cost < best_cost:
            best, best_cost = angles, cost
    return best


def _solve(
    world: MuJoCoWorld, target: PalmTarget, start: NDArray[np.float64], iterations: int
) -> tuple[NDArray[np.float64], float]:
    """Joint angles (6,) near a target, within limits, and the largest remaining error."""
    model = world.model
    data = mujoco.MjData(model)
    data.qpos[:] = world.data.qpos
    places = [model.joint(name).qposadr[0] for name in ARM_JOINTS]
    low, high = world.joint_limits[:, :ARM]
    angles, error = start.copy(), np.full(6, np.inf)
    for _ in range(iterations):
        data.qpos[places] = angles
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        error, jacobian = _error(model, data, target)
        if np.abs(error).max() < 1e-4:
            break
        damped = jacobian @ jacobian.T + 1e-3 * np.eye(6)
        angles = np.clip(angles + jacobian.T @ np.linalg.solve(damped, np.clip(error, -0.2, 0.2)), low, high)
    return angles, float(np.abs(error).max())


def _error(model: mujoco.MjModel, data: mujoco.MjData, target: PalmTarget) -> tuple[NDArray, NDArray]:
    """Remaining translation and rotation (6,) to a target, and the Jacobian (6, 6) of the palm's point."""
    body = model.body(PALM).id
    rotation = data.xmat[body].reshape(3, 3)
    here = data.xpos[body] + rotation @ target.point
    turn = Rotation.from_matrix(target.rotation @ rotation.T).as_rotvec()
    linear, angular = np.zeros((2, 3, model.nv))
    mujoco.mj_jac(model, data, linear, angular, here, body)
    columns = [model.joint(name).dofadr[0] for name in ARM_JOINTS]
    return np.concatenate([target.position - here, turn]), np.vstack([linear, angular])[:, columns]


def go(
    world: MuJoCoWorld, joints: NDArray[np.float64], angles: NDArray[np.float64], speed: float
) -> NDArray[np.float64]:
    """The action (22,) that moves the arm's joints toward `joints`, each at up to `speed` radians per second."""
    way = joints - world.measure().qpos[:ARM]
    # All joints arrive together.
    velocity = way / max(SETTLING_TIME, float(np.abs(way).max()) / speed)
    twist = world.jacobian() @ velocity
    twist /= max(1.0, np.abs(twist).max())
    return np.concatenate([twist, finger_actions(angles, *world.finger_limits)])


def _way(world: MuJoCoWorld, target: PalmTarget) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Translation (3,) of the palm's point to its target, and rotation vector (3,)."""
    measured = world.measure()
    here = measured.palm_position + measured.palm_rotation @ target.point
    turn = Rotation.from_matrix(target.rotation @ measured.palm_rotation.T).as_rotvec()
    return target.position - here, turn


def _limited(vector: NDArray[np.float64], longest: float) -> NDArray[np.float64]:
    return vector * min(1.0, longest / max(float(np.linalg.norm(vector)), 1e-9))
