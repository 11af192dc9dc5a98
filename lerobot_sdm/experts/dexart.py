"""A scripted expert for DexArt's tasks: goes to the handle, grasps it, and moves it along its arc.

Each task has a maneuver, which yields one action at a time, from the latest state.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.dexart.env import DexArtPointCloudEnv
from lerobot_sdm.errors import check_known
from lerobot_sdm.experts.base import Expert
from lerobot_sdm.experts.dexart_hand import (
    PALM_SURFACE,
    UP,
    PalmTarget,
    distance_to,
    drive,
    go,
    palm_rotation,
    posture,
    reach,
    turned,
)

Actions = Iterator[NDArray[np.float64]]
TRANSIT_STEPS = 100


def transit(
    env: DexArtPointCloudEnv, target: PalmTarget, fingers: NDArray[np.float64], speed: float, direct: bool = False
) -> Actions:
    """Move the joints to a target; unless `direct`, via a point above it and nearer to the robot."""
    base = env.dexart_task.robot_position
    back = base + 0.62 * (target.position - base)
    back[2] = target.position[2] + 0.1
    for place, near in (() if direct else ((back, 0.3),)) + ((target.position, 0.05),):
        joints = reach(env.world, dataclasses.replace(target, position=place))
        for _ in range(TRANSIT_STEPS):
            if np.abs(joints - env.measured.qpos[:6]).max() < near:
                break
            yield go(env.world, joints, fingers, speed)


def follow(
    env: DexArtPointCloudEnv,
    target: Callable[[], PalmTarget],
    fingers: NDArray[np.float64],
    steps: int,
    near: float = 0.0,
    until_touch: bool = False,
) -> Actions:
    """Move straight to a target that may move, for up to `steps` steps.

    Stops earlier within `near` meters of the target, or, with `until_touch`, once the palm touches the handle.
    """
    for _ in range(steps):
        goal = target()
        if distance_to(env.world, goal) < near or (until_touch and env.measured.palm_touches):
            return
        yield drive(env.world, goal, fingers)


def lid(env: DexArtPointCloudEnv) -> Actions:
    """Grasp a lid by its edge and open it.

    The palm faces along the lid and presses toward the hinge, which exerts no torque and keeps contact; the fingers
    hook the inner side and lift.
    """
    world, data = env.world, env.world.data
    joint = world.model.joint("handle").id
    hinge, axis = data.xanchor[joint].copy(), data.xaxis[joint].copy()
    forward = np.cross(axis, UP)
    length = np.linalg.norm(env.measured.handle - hinge)
    middle = world.handle_range.middle

    def grip(angle: float, back: float, below: float, speed: float) -> PalmTarget:
        lean = angle - np.pi / 2
        normal, fingers = turned(-UP, axis, lean), turned(-forward, axis, lean)
        place = hinge - (length + back) * normal + below * fingers
        return PalmTarget(place, palm_rotation(normal, fingers), np.array([PALM_SURFACE, 0, -0.01]), speed)

    hook, hold, firm = posture(0.0, 1.35, 0.1, 0.1), posture(0.0, 1.45, 0.5, 0.4), posture(0.0, 1.6, 0.9, 0.7)
    yield from transit(env, grip(env.measured.angle, 0.13, 0.05, 0.8), hook, 2.2)
    yield from follow(env, lambda: grip(env.measured.angle, 0.13, 0.01, 0.3), hook, 10)
    yield from follow(env, lambda: grip(env.measured.angle, 0.02, 0.0, 0.3), hook, 30, near=0.01)
    yield from follow(env, lambda: grip(env.measured.angle, -0.01, 0.0, 0.03), hook, 30, until_touch=True)
    while True:
        ahead = np.clip(middle + 0.02 - env.measured.angle, -0.15, 0.15)
        press = 0.001 if env.measured.palm_touches else 0.004
        fingers = hold if env.measured.angle < 1.0 else firm
        yield drive(world, grip(env.measured.angle + ahead, -press, -0.006, 0.12), fingers)


def faucet(env: DexArtPointCloudEnv) -> Actions:
    """Lay the palm on a lever, curl the fingers behind it, and move around with it, with the fingers pulling."""
    world, data = env.world, env.world.data
    joint = world.model.joint("handle").id
    hinge, axis = data.xanchor[joint].copy(), data.xaxis[joint].copy()
    out = env.measured.handle - hinge
    start = env.measured.angle

    def grip(angle: float, lift: float, speed: float, pull: float = 0.0) -> PalmTarget:
        place = hinge + turned(out, axis, angle - start)
        fingers = np.cross(place - hinge, axis)
        fingers /= np.linalg.norm(fingers)
        return PalmTarget(
            place + lift * UP - pull * fingers, palm_rotation(-UP, fingers), np.array([PALM_SURFACE, 0, -0.004]), speed
        )

    opened, fist = posture(0.0, 0.3, 0.2, 0.2), posture(0.0, 1.61, 1.3, 0.8)
    yield from transit(env, grip(env.measured.angle, 0.12, 0.8), opened, 2.2)
    yield from follow(env, lambda: grip(env.measured.angle, 0.03, 0.3), opened, 30, near=0.01)
    yield from follow(env, lambda: grip(env.measured.angle, 0.012, 0.1, 0.004), fist, 25)
    yield from follow(env, lambda: grip(env.measured.angle, -0.01, 0.03, 0.004), fist, 30, until_touch=True)
    for step in itertools.count():
        # Past the goal, the palm may move the lever without finger contact; occasional pulls restore contact.
        pull = 0.018 if env.measured.angle > 1.25 and step // 6 % 2 else 0.006
        press = 0.001 if env.measured.palm_touches else 0.004
        ahead = np.clip(1.5 - env.measured.angle, -0.25, 0.25)
        yield drive(world, grip(env.measured.angle + ahead, -press, 0.12, pull), fist)


def bucket(env: DexArtPointCloudEnv) -> Actions:
    """Close the fist around a bucket's handle from above, and lift."""
    world = env.world
    rotation = palm_rotation(-UP, np.array([0.0, -1.0, 0.0]))

    def grip(lift: float, speed: float) -> PalmTarget:
        return PalmTarget(env.measured.handle + lift * UP, rotation, np.array([PALM_SURFACE, 0, -0.01]), speed)

    opened, fist = posture(0.0, 0.5, 0.2, 0.2), posture(0.0, 1.5, 1.6, 1.4)
    yield from transit(env, grip(0.06, 1.0), opened, 2.5, direct=True)
    yield from follow(env, lambda: grip(0.004, 0.4), opened, 15, near=0.008)
    yield from follow(env, lambda: grip(0.004, 0.1), fist, 16)
    top = env.measured.palm_position + 0.36 * UP
    while True:
        yield drive(world, PalmTarget(top, rotation, np.zeros(3), 0.5), fist)


MANEUVERS = {"laptop": lid, "toilet": lid, "faucet": faucet, "bucket": bucket}
"""Task -> maneuver, which starts right after a reset of the environment and never ends."""


class DexArtExpert(Expert):
    """Runs a maneuver per task, using the simulator's state: handle, hinge, and contacts.

    Raises:
        InputError: The task is not a DexArt task.
    """

    name: ClassVar[str] = "dexart"
    env_types: ClassVar[tuple[str, ...]] = ("dexart",)

    def __init__(self, task: str, action_noise: float = 0.0, clip: bool = True):
        super().__init__(task, action_noise, clip)
        check_known("--expert=dexart, task", task, MANEUVERS)
        self._actions: Actions = iter(())

    def reset(self, env: gym.Env, seed: int, variant: int = 0) -> None:
        super().reset(env, seed, variant)
        self._actions = MANEUVERS[self.task](env.unwrapped)

    def plan(self, env: gym.Env) -> NDArray[np.float64]:
        """The next action of the maneuver, (22,); a finished maneuver holds still."""
        return next(self._actions)

    def provenance(self) -> dict[str, Any]:
        return super().provenance() | {"maneuver": self.task}
