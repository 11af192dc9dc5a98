"""Laptops, faucets, buckets and toilets made of simple solids, with different proportions per instance.

They replace DexArt's PartNet-Mobility objects, whose files cannot be shipped. Every object's origin is on the
ground below it, z up; the side that opens faces -x, where the robot stands. Lengths in meters, angles in radians.
"""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from lerobot_sdm.envs.dexart.objects import ArticulatedObject
from lerobot_sdm.envs.dexart.state import HandleRange

if TYPE_CHECKING:
    import mujoco

# Densities and mobility of roots are DexArt's. Its joint friction, 5, is a coefficient in PhysX; here it is a torque in
# N m, large enough that an open lid stays open and small enough for a finger.
LID_FRICTION, LEVER_FRICTION = 0.8, 0.3
# Light parts between drives this strong need some inertia and damping, or a rough touch throws them around.
DAMPING, ARMATURE = 0.3, 0.01
# With MuJoCo's default softness, a lid held by friction sinks by some degrees per second.
STIFF = (0.9999, 0.9999, 0.001, 0.5, 2)

GRAY, DARK, WHITE, STEEL = (0.55, 0.57, 0.6, 1), (0.12, 0.12, 0.14, 1), (0.92, 0.92, 0.9, 1), (0.7, 0.72, 0.75, 1)
BLUE = (0.25, 0.45, 0.75, 1)


class _Builder:
    """Adds solids to a MuJoCo description concisely."""

    def __init__(self, root_density: float, handle_density: float):
        import mujoco

        self._mujoco = mujoco
        self.spec = mujoco.MjSpec()
        self.spec.compiler.degree = False
        self._densities = {"object": root_density, "handle": handle_density}
        self.root = self.spec.worldbody.add_body(name="object")

    def hinge(self, position, axis, limits, friction: float) -> "mujoco.MjsBody":
        """The handle's body on its hinge."""
        handle = self.root.add_body(name="handle", pos=position)
        handle.add_joint(
            name="handle",
            type=self._mujoco.mjtJoint.mjJNT_HINGE,
            axis=axis,
            range=limits,
            limited=True,
            frictionloss=friction,
            damping=DAMPING,
            armature=ARMATURE,
            solimp_friction=STIFF,
        )
        return handle

    def _add(self, body: "mujoco.MjsBody", kind: str, color, collides: bool = True, **dimensions) -> None:
        contact = {} if collides else {"contype": 0, "conaffinity": 0}
        body.add_geom(
            type=getattr(self._mujoco.mjtGeom, f"mjGEOM_{kind}"),
            rgba=color,
            density=self._densities[body.name],
            friction=[1.0, 0.01, 0.0001],
            condim=4,
            **contact,
            **dimensions,
        )

    def box(self, body, edges, position, color, yaw: float = 0.0, collides: bool = True) -> None:
        """A box with full edge lengths around its center."""
        quaternion = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        self._add(body, "BOX", color, collides, size=np.array(edges) / 2, pos=position, quat=quaternion)

    def cylinder(self, body, radius: float, bottom, top, color) -> None:
        """A cylinder between the centers of its ends."""
        self._add(body, "CYLINDER", color, size=[radius, 0, 0], fromto=[*bottom, *top])

    def capsule(self, body, radius: float, start, end, color) -> None:
        """A capsule between the centers of its ends."""
        self._add(body, "CAPSULE", color, size=[radius, 0, 0], fromto=[*start, *end])


def _laptop(draw: Callable[[float, float], float]) -> ArticulatedObject:
    build = _Builder(500, 500)
    width, depth, base, lid = draw(0.28, 0.36), draw(0.18, 0.22), draw(0.016, 0.024), draw(0.009, 0.012)
    left, middle = draw(0.4, 0.5), draw(1.65, 1.75)
    build.box(build.root, (depth, width, base), (0, 0, base / 2), GRAY)
    build.box(build.root, (depth * 0.5, width * 0.85, 0.002), (depth * 0.1, 0, base), DARK, collides=False)
    build.box(build.root, (depth * 0.22, width * 0.3, 0.002), (-depth * 0.33, 0, base), STEEL, collides=False)
    handle = build.hinge((depth / 2, 0, base), (0, 1, 0), (0.0, 2.3), LID_FRICTION)
    build.box(handle, (depth, width, lid), (-depth / 2, 0, lid / 2), GRAY)
    build.box(handle, (depth * 0.88, width * 0.92, 0.002), (-depth / 2, 0, 0), DARK, collides=False)
    handle.add_site(name="handle", pos=(-depth, 0, lid / 2))
    return ArticulatedObject(build.spec, HandleRange(left, middle), np.array([0.47, -0.05, 0.0]))


def _toilet(draw: Callable[[float, float], float]) -> ArticulatedObject:
    build = _Builder(50, 50)
    radius, height, lid = draw(0.11, 0.13), draw(0.24, 0.3), draw(0.012, 0.016)
    stretch, left, middle = draw(0.08, 0.11), draw(0.35, 0.45), draw(1.55, 1.65)
    # The hinge stands at x = radius; the bowl's round front at x = -stretch - radius.
    build.cylinder(build.root, radius * 0.6, (-stretch * 0.3, 0, 0), (-stretch * 0.3, 0, height * 0.6), WHITE)
    for top, bottom, size in ((0.8, 0.5, 0.8), (1.0, 0.75, 1.0)):
        build.cylinder(build.root, radius * size, (-stretch, 0, height * bottom), (-stretch, 0, height * top), WHITE)
        length, middle_height = (stretch + radius) * size, height * (top + bottom) / 2
        edges = (length, 2 * radius * size, height * (top - bottom))
        build.box(build.root, edges, (-stretch + length / 2, 0, middle_height), WHITE)
    tank = draw(0.22, 0.28)
    build.box(
        build.root, (0.14, 2.3 * radius, tank + height * 0.5), (radius + 0.13, 0, tank / 2 + height * 0.75), WHITE
    )
    handle = build.hinge((radius, 0, height + 0.004), (0, 1, 0), (0.0, 1.95), LID_FRICTION)
    build.cylinder(handle, radius, (-stretch - radius, 0, 0), (-stretch - radius, 0, lid), STEEL)
    build.box(handle, (stretch + radius, 2 * radius, lid), (-(stretch + radius) / 2, 0, lid / 2), STEEL)
    handle.add_site(name="handle", pos=(-stretch - 2 * radius, 0, lid / 2))
    return ArticulatedObject(build.spec, HandleRange(left, middle), np.array([0.42, -0.1, -0.4]))


def _faucet(draw: Callable[[float, float], float]) -> ArticulatedObject:
    build = _Builder(7800, 7800)
    column, height, reach = draw(0.018, 0.026), draw(0.13, 0.18), draw(0.12, 0.16)
    length, thick = draw(0.13, 0.16), draw(0.009, 0.012)
    build.cylinder(build.root, column * 2, (0, 0, 0), (0, 0, 0.012), STEEL)
    build.cylinder(build.root, column, (0, 0, 0), (0, 0, height), STEEL)
    spout = height * 0.62
    build.capsule(build.root, column * 0.55, (0, 0, spout), (reach, 0, spout), STEEL)
    build.capsule(build.root, column * 0.55, (reach, 0, spout), (reach, 0, spout - 0.03), STEEL)
    # Clockwise seen from above, so that fingers that point away from the palm's motion pull.
    handle = build.hinge((0, 0, height + 0.002), (0, 0, -1), (0.0, 1.75), LEVER_FRICTION)
    build.cylinder(handle, column, (0, 0, 0), (0, 0, 0.03), STEEL)
    build.capsule(handle, thick, (0, 0, 0.03), (-length, 0, 0.04), BLUE)
    handle.add_site(name="handle", pos=(-length * 0.7, 0, 0.037))
    return ArticulatedObject(build.spec, HandleRange(0.0, 1.57), np.array([0.45, -0.05, 0.0]))


def _bucket(draw: Callable[[float, float], float]) -> ArticulatedObject:
    build = _Builder(7800, 100)
    radius, height, wall = draw(0.1, 0.13), draw(0.18, 0.23), 0.004
    sides, left = 16, draw(0.85, 1.0)
    build.cylinder(build.root, radius, (0, 0, 0), (0, 0, wall), STEEL)
    for side in range(sides):
        turn = 2 * np.pi * side / sides
        # It stands on its bottom alone: each side would cost four contacts.
        edges = (wall, 2 * radius * np.tan(np.pi / sides), height - wall)
        middle = (radius * np.cos(turn), radius * np.sin(turn), (height + wall) / 2)
        build.box(build.root, edges, middle, STEEL, yaw=turn)
    # The handle's two ends are at x = +-radius; it leans to +y.
    handle = build.hinge((0, 0, height - 0.02), (1, 0, 0), (left - 0.02, np.pi - left), 0.0)
    arc, rise, thick = radius + 0.012, draw(0.13, 0.16), draw(0.007, 0.009)
    angles = np.linspace(0, np.pi, 9)
    # A flattened arch: fingers find its middle level.
    points = [(arc * np.cos(angle), rise * min(1.0, 1.25 * np.sin(angle)), 0.0) for angle in angles]
    for start, end in itertools.pairwise(points):
        build.capsule(handle, thick, start, end, DARK)
    handle.add_site(name="handle", pos=(0, rise, 0))
    return ArticulatedObject(build.spec, HandleRange(left, np.pi / 2), np.array([0.5, -0.05, -0.3]), free=True)


BUILDERS = {"laptop": _laptop, "faucet": _faucet, "bucket": _bucket, "toilet": _toilet}


def stand_in(name: str) -> ArticulatedObject:
    """An instance such as `laptop-3`; the same name always gives the same object."""
    task, _, number = name.rpartition("-")
    rng = np.random.default_rng([sorted(BUILDERS).index(task), int(number)])
    return BUILDERS[task](lambda low, high: float(rng.uniform(low, high)))
