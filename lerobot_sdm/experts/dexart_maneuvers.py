"""How the expert does each of DexArt's tasks. A maneuver yields one action after another, looking anew each time."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.dexart import DexArtPointCloudEnv
from lerobot_sdm.experts.dexart_hand import (
    OPEN, PALM_SURFACE, UP, PalmTarget, drive, errors, go, palm_rotation, posture, reach, turned,
)

Actions = Iterator[NDArray[np.float64]]
REST = (0.3, 0.0, 0.0, 0.0)


def hand(*knuckles, thumb=REST):
    return posture({"": knuckles, "thumb": thumb})


def transit(env, target: PalmTarget, fingers, speed=1.5, steps=100) -> Actions:
    joints = reach(env.world, target)
    for _ in range(steps):
        if np.abs(joints - env.measured.qpos[:6]).max() < 0.05:
            return
        yield go(env.world, joints, fingers, speed)


def follow(env, target: Callable[[], PalmTarget], fingers, steps: int, until=lambda: False) -> Actions:
    for _ in range(steps):
        if until():
            return
        yield drive(env.world, target(), fingers)


def lid(env: DexArtPointCloudEnv) -> Actions:
    world, data = env.world, env.world.data
    joint = world.model.joint("handle").id
    hinge, axis = data.xanchor[joint].copy(), data.xaxis[joint].copy()
    forward = np.cross(axis, UP)
    length = np.linalg.norm(env.measured.handle - hinge)
    middle = world.handle_range.middle

    def grip(angle, back, below, speed):
        lean = angle - np.pi / 2
        normal, fingers = turned(-UP, axis, lean), turned(-forward, axis, lean)
        place = hinge - (length + back) * normal + below * fingers
        return PalmTarget(place, palm_rotation(normal, fingers), np.array([PALM_SURFACE, 0, -0.015]), speed)

    m = lambda: env.measured
    hook, hold = hand(0.0, 1.35, 0.1, 0.1), hand(0.0, 1.45, 0.5, 0.4)
    yield from transit(env, grip(m().angle, 0.13, 0.05, 0.8), hook)
    yield from follow(env, lambda: grip(m().angle, 0.13, 0.01, 0.3), hook, 10)
    yield from follow(env, lambda: grip(m().angle, 0.02, 0.0, 0.3), hook, 30, lambda: errors(world, grip(m().angle, 0.02, 0.0, 0.3))[0] < 0.01)
    yield from follow(env, lambda: grip(m().angle, -0.01, 0.0, 0.03), hook, 30, lambda: m().palm_touches)
    while True:
        ahead = np.clip(middle + 0.02 - m().angle, -0.15, 0.15)
        press = 0.001 if m().palm_touches else 0.004
        yield drive(world, grip(m().angle + ahead, -press, 0.0, 0.12), hold)


def faucet(env: DexArtPointCloudEnv) -> Actions:
    world, data = env.world, env.world.data
    joint = world.model.joint("handle").id
    hinge, axis = data.xanchor[joint].copy(), data.xaxis[joint].copy()
    out = env.measured.handle - hinge
    start = env.measured.angle
    m = lambda: env.measured

    def grip(angle, lift, speed):
        place = hinge + turned(out, axis, angle - start)
        fingers = np.cross(place - hinge, axis)
        return PalmTarget(place + lift * UP, palm_rotation(-UP, fingers), np.array([PALM_SURFACE, 0, -0.02]), speed)

    opened, fist = hand(0.0, 0.3, 0.2, 0.2), hand(0.0, 1.5, 1.3, 0.8)
    yield from transit(env, grip(m().angle, 0.12, 0.8), opened)
    yield from follow(env, lambda: grip(m().angle, 0.03, 0.3), opened, 30, lambda: errors(world, grip(m().angle, 0.03, 0.3))[0] < 0.01)
    yield from follow(env, lambda: grip(m().angle, -0.01, 0.05), opened, 30, lambda: m().palm_touches)
    yield from follow(env, lambda: grip(m().angle, 0.0, 0.05), fist, 20)
    while True:
        press = 0.001 if m().palm_touches else 0.004
        ahead = np.clip(1.62 - m().angle, -0.25, 0.25)
        yield drive(world, grip(m().angle + ahead, -press, 0.15), fist)


def bucket(env: DexArtPointCloudEnv) -> Actions:
    world, m = env.world, lambda: env.measured
    rotation = palm_rotation(-UP, np.array([0.0, -1.0, 0.0]))

    def grip(lift, speed):
        return PalmTarget(m().handle + lift * UP, rotation, np.array([PALM_SURFACE, 0, -0.01]), speed)

    opened, fist = hand(0.0, 0.5, 0.2, 0.2), hand(0.0, 1.5, 1.6, 1.4)
    yield from transit(env, grip(0.09, 1.0), opened, 2.5)
    yield from follow(env, lambda: grip(0.025, 0.4), opened, 15, lambda: errors(world, grip(0.025, 0.4))[0] < 0.012)
    yield from follow(env, lambda: grip(0.0, 0.1), opened, 8, lambda: m().palm_touches)
    yield from follow(env, lambda: grip(0.0, 0.1), fist, 18)
    top = m().palm_position + np.array([0, 0, 0.36])
    while True:
        yield drive(world, PalmTarget(top, rotation, np.zeros(3), 0.35), fist)


MANEUVERS = {"laptop": lid, "toilet": lid, "faucet": faucet, "bucket": bucket}
