"""Driving DexArt's robot by where its palm should be: poses, postures of the fingers, and the action for them."""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.dexart.control import finger_actions
from lerobot_sdm.envs.dexart.robot import ARM_JOINTS, FINGER_JOINTS, PALM
from lerobot_sdm.envs.dexart.world import MuJoCoWorld

UP = np.array([0.0, 0.0, 1.0])

PALM_SURFACE = 0.0111
"""How far the palm's face is from its origin along its normal, meters."""

SETTLING_TIME = 0.12
"""Seconds in which an error would be made good at the speed asked for."""

ARM = len(ARM_JOINTS)
ITERATIONS, SHORT_ITERATIONS = 120, 12
MAX_SPEED = 2.5
STARTS = ((0.0, -0.3, -0.6, 0.0, 0.6, 0.0), (0.0, -0.3, -0.6, 0.0, 0.6, -1.6), (0.0, 0.3, -1.2, 0.0, 0.9, 1.6))
"""Joint angles from which poses are searched besides the present ones."""


@dataclass(frozen=True)
class PalmTarget:
    """Where a point of the palm should be, and how the palm should be turned.

    Args:
        position: (3,) world, meters.
        rotation: (3, 3); columns are the palm's normal, its side where the thumb is, and where fingers point.
        point: (3,) in the palm's frame, the point that should be at `position`.
        speed: Of that point at most, meters per second.
    """

    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    point: NDArray[np.float64]
    speed: float = 0.5


def palm_rotation(normal: NDArray[np.float64], fingers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) of a palm that faces along `normal`, with fingers as close to `fingers` as that allows."""
    x = normal / np.linalg.norm(normal)
    z = fingers - (fingers @ x) * x
    z /= np.linalg.norm(z)
    return np.column_stack([x, np.cross(z, x), z])


def turned(vector: NDArray[np.float64], axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """A vector (3,) turned about a unit axis."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(angle * axis).apply(vector)


def posture(fingers: dict[str, tuple[float, ...]]) -> NDArray[np.float64]:
    """Angles (16,) in the order of `FINGER_JOINTS`, of four knuckles for the fingers ("") and for the thumb."""
    angles = []
    for joint in FINGER_JOINTS:
        finger, knuckle = divmod(int(joint.removeprefix("joint_").removesuffix(".0")), 4)
        angles.append(fingers["thumb" if finger == 3 else ""][knuckle])
    return np.array(angles)


def errors(world: MuJoCoWorld, target: PalmTarget) -> tuple[float, float]:
    """How far the palm is from a target: meters and radians."""
    way, turn = _way(world, target)
    return float(np.linalg.norm(way)), float(np.linalg.norm(turn))


def drive(world: MuJoCoWorld, target: PalmTarget, angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """The action (22,) that goes straight to a target, turning at the same time.

    The next piece of the way is found in the joints: a twist alone would run into their limits.

    Args:
        world: The simulated robot.
        target: Of the palm.
        angles: (16,) of the finger joints, see `posture`.
    """
    from scipy.spatial.transform import Rotation

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
    """Joint angles (6,) of the arm with which the palm is at a target, or as close as they get it.

    Damped least squares from several starts, within the joints' limits; of those that arrive, the one that is the
    shortest way from here.
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
    """Joint angles (6,) near a target, within limits, and the largest error that is left."""
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
    """Way and turn (6,) that are left to a target, and the Jacobian (6, 6) of the palm's point."""
    from scipy.spatial.transform import Rotation

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
    """The action (22,) that moves the arm's joints toward `joints`, each at most at `speed` radians per second."""
    way = joints - world.measure().qpos[:ARM]
    # All joints arrive together.
    velocity = way / max(SETTLING_TIME, float(np.abs(way).max()) / speed)
    twist = world.jacobian() @ velocity
    twist /= max(1.0, np.abs(twist).max())
    return np.concatenate([twist, finger_actions(angles, *world.finger_limits)])


def _way(world: MuJoCoWorld, target: PalmTarget) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Way (3,) of the palm's point to its target, and turn (3,) to its rotation."""
    from scipy.spatial.transform import Rotation

    measured = world.measure()
    here = measured.palm_position + measured.palm_rotation @ target.point
    turn = Rotation.from_matrix(target.rotation @ measured.palm_rotation.T).as_rotvec()
    return target.position - here, turn


def _limited(vector: NDArray[np.float64], longest: float) -> NDArray[np.float64]:
    return vector * min(1.0, longest / max(float(np.linalg.norm(vector)), 1e-9))
