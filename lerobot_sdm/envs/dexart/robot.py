"""DexArt's robot, an xArm6 with an Allegro right hand on its wrist, made of boxes, capsules and balls.

Names, frames, joint limits and masses are those of the published description of this robot,
`xarm6_allegro_wrist_mounted_rotate.urdf`; the hand's boxes and balls are its collision shapes. The arm's shapes are
ours: capsules along its links. A link's mass is spread evenly over its shapes.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mujoco

Vector = tuple[float, float, float]

ARM_JOINTS = tuple(f"joint{i}" for i in range(1, 7))
FINGER_JOINTS = tuple(f"joint_{4 * finger + knuckle}.0" for knuckle in range(4) for finger in range(4))
ACTIVE_JOINTS = ARM_JOINTS + FINGER_JOINTS
"""The order of joint positions and finger targets: SAPIEN's, which counts breadth first, all first knuckles first."""

END_LINK = "link6"
"""What the action's twist moves."""

PALM = "base_link"
ARM_LINKS = ("link_base", *(f"link{i}" for i in range(1, 7)))
FINGER_LINKS = {
    "thumb": ("link_14.0", "link_15.0", "link_15.0_tip"),
    "index": ("link_1.0", "link_2.0", "link_3.0", "link_3.0_tip"),
    "middle": ("link_5.0", "link_6.0", "link_7.0", "link_7.0_tip"),
    "ring": ("link_9.0", "link_10.0", "link_11.0", "link_11.0_tip"),
}
"""Links whose touch counts as the finger's."""

ARM_GAINS = (20_000.0, 4_000.0, 500.0)
FINGER_GAINS = (200.0, 60.0, 10.0)
"""Stiffness, damping and force limit of the drives, in N m and radians.

DexArt's arm has ten times that stiffness and damping. Drives lend their joints inertia (see `world`), and with
so much of it the arm hardly moves within its force limit; with these gains it lags by a quarter in a fast move.
"""


@dataclass(frozen=True)
class Shape:
    """A solid in its link's frame, meters.

    Args:
        kind: `box` with full edge lengths, `sphere` with (radius,), `capsule` with (radius,) from `position` to `end`.
        size: As said.
        position: Center, or one end of a capsule.
        end: Other end of a capsule.
    """

    kind: str
    size: tuple[float, ...]
    position: Vector = (0.0, 0.0, 0.0)
    end: Vector = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Link:
    """A link and the joint that carries it.

    Args:
        parent: Name of the link before it.
        position: Of the joint in the parent's frame, meters.
        rpy: Roll, pitch and yaw about fixed axes, radians.
        axis: Of a hinge; None for a fixed joint.
        limits: Of the hinge, radians.
        mass: Kilograms.
        shapes: What it is made of.
    """

    parent: str
    position: Vector
    rpy: Vector = (0.0, 0.0, 0.0)
    axis: Vector | None = None
    limits: tuple[float, float] = (0.0, 0.0)
    mass: float = 0.0
    shapes: tuple[Shape, ...] = ()


X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
FULL_TURN = 6.28318530718
ORIGIN = (0.0, 0.0, 0.0)


def _capsule(radius: float, start: Vector, end: Vector) -> Shape:
    return Shape("capsule", (radius,), start, end)


def _phalanx(length: float) -> tuple[Shape, ...]:
    return (Shape("box", (0.0196, 0.0275, length), (0.0, 0.0, length / 2)),)


TIP = (Shape("sphere", (0.012,)),)

_ARM = {
    "link_base": Link("", ORIGIN, mass=2.7, shapes=(_capsule(0.06, (0, 0, 0.06), (0, 0, 0.17)),)),
    "link1": Link(
        "link_base",
        (0, 0, 0.267),
        axis=Z,
        limits=(-FULL_TURN, FULL_TURN),
        mass=2.16,
        shapes=(_capsule(0.055, (0, 0, -0.06), (0, 0, 0)), _capsule(0.05, ORIGIN, (0, 0.05, 0))),
    ),
    "link2": Link(
        "link1",
        ORIGIN,
        (-1.5708, 0, 0),
        Z,
        (-2.059, 2.0944),
        1.71,
        (
            _capsule(0.048, (0, 0, 0.05), (0, -0.2845, 0.05)),
            _capsule(0.048, (0, -0.2845, 0.05), (0.0535, -0.2845, 0.02)),
        ),
    ),
    "link3": Link(
        "link2",
        (0.0535, -0.2845, 0),
        axis=Z,
        limits=(-3.927, 0.19198),
        mass=1.384,
        shapes=(_capsule(0.045, ORIGIN, (0.0775, 0.09, 0)),),
    ),
    "link4": Link(
        "link3",
        (0.0775, 0.3425, 0),
        (-1.5708, 0, 0),
        Z,
        (-FULL_TURN, FULL_TURN),
        1.115,
        (_capsule(0.04, (0, 0, -0.23), (0, 0, -0.02)),),
    ),
    "link5": Link(
        "link4",
        ORIGIN,
        (1.5708, 0, 0),
        Z,
        (-1.69297, 3.14159265359),
        1.275,
        (_capsule(0.037, ORIGIN, (0.076, 0.01, 0)), _capsule(0.035, (0.076, 0.01, 0), (0.076, 0.06, 0))),
    ),
    "link6": Link(
        "link5",
        (0.076, 0.097, 0),
        (-1.5708, 0, 0),
        Z,
        (-FULL_TURN, FULL_TURN),
        0.1096,
        (_capsule(0.03, (0, 0, -0.02), (0, 0, -0.015)),),
    ),
}

_PALM = Link(
    "link6",
    (0, 0.045, 0.045),
    (0, -1.57, -1.57),
    mass=0.4154,
    shapes=(Shape("box", (0.0408, 0.1130, 0.095), (-0.0093, 0, -0.0475)),),
)

_FINGER_ROOTS = {
    0: ((0, 0.0435, -0.001542), -0.08726646255),
    4: ((0, 0, 0.0007), 0.0),
    8: ((0, -0.0435, -0.001542), 0.08726646255),
}


def _finger(first: int, position: Vector, roll: float) -> dict[str, Link]:
    """Index, middle or ring finger, whose links are counted from `first`."""
    link = {knuckle: f"link_{first + knuckle}.0" for knuckle in range(4)}
    return {
        link[0]: Link(PALM, position, (roll, 0, 0), Z, (-0.47, 0.47), 0.005, _phalanx(0.0164)),
        link[1]: Link(link[0], (0, 0, 0.0164), axis=Y, limits=(-0.196, 1.61), mass=0.125164, shapes=_phalanx(0.054)),
        link[2]: Link(link[1], (0, 0, 0.054), axis=Y, limits=(-0.174, 1.709), mass=0.131691, shapes=_phalanx(0.0384)),
        link[3]: Link(link[2], (0, 0, 0.0384), axis=Y, limits=(-0.227, 1.618), mass=0.131691, shapes=_phalanx(0.0267)),
        f"{link[3]}_tip": Link(link[3], (0, 0, 0.0267), mass=0.005, shapes=TIP),
    }


_THUMB = {
    "link_12.0": Link(
        PALM,
        (-0.0182, 0.019333, -0.045987),
        (0, -1.65806278845, -1.5707963259),
        (-1.0, 0.0, 0.0),
        (0.263, 1.396),
        0.005,
        (Shape("box", (0.0358, 0.034, 0.0455), (-0.0179, 0.009, 0.0145)),),
    ),
    "link_13.0": Link(
        "link_12.0", (-0.027, 0.005, 0.0399), axis=Z, limits=(-0.105, 1.163), mass=0.125164, shapes=_phalanx(0.0177)
    ),
    "link_14.0": Link(
        "link_13.0", (0, 0, 0.0177), axis=Y, limits=(-0.189, 1.644), mass=0.131691, shapes=_phalanx(0.0514)
    ),
    "link_15.0": Link(
        "link_14.0", (0, 0, 0.0514), axis=Y, limits=(-0.162, 1.719), mass=0.131691, shapes=_phalanx(0.0423)
    ),
    "link_15.0_tip": Link("link_15.0", (0, 0, 0.0423), mass=0.005, shapes=TIP),
}

LINKS: dict[str, Link] = {
    **_ARM,
    PALM: _PALM,
    **{name: link for first, root in _FINGER_ROOTS.items() for name, link in _finger(first, *root).items()},
    **_THUMB,
}
"""Every link by name, parents first."""

JOINT_OF_LINK = {name: name.replace("link", "joint") for name, link in LINKS.items() if link.axis is not None}


def stand_in_robot() -> "mujoco.MjSpec":
    """The robot as a MuJoCo description whose world holds its base link at the origin; no actuators."""
    import mujoco
    from scipy.spatial.transform import Rotation

    from lerobot_sdm.clouds.geometry import rotation_x, rotation_y, rotation_z

    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    bodies = {"": spec.worldbody}
    for name, link in LINKS.items():
        # About fixed axes, as in URDF.
        roll, pitch, yaw = link.rpy
        rotation = rotation_z(yaw) @ rotation_y(pitch) @ rotation_x(roll)
        quaternion = Rotation.from_matrix(rotation).as_quat(scalar_first=True)
        body = bodies[name] = bodies[link.parent].add_body(name=name, pos=link.position, quat=quaternion)
        if link.axis is not None:
            body.add_joint(
                name=JOINT_OF_LINK[name],
                type=mujoco.mjtJoint.mjJNT_HINGE,
                axis=link.axis,
                range=link.limits,
                limited=True,
            )
        color = _color(name)
        for number, shape in enumerate(link.shapes):
            mass = link.mass / len(link.shapes)
            body.add_geom(name=f"{name}/{number}", mass=mass, rgba=color, **_dimensions(shape))
    return spec


def _dimensions(shape: Shape) -> dict:
    import mujoco

    if shape.kind == "box":
        size = [edge / 2 for edge in shape.size]
        return {"type": mujoco.mjtGeom.mjGEOM_BOX, "size": size, "pos": shape.position}
    if shape.kind == "sphere":
        return {"type": mujoco.mjtGeom.mjGEOM_SPHERE, "size": [*shape.size, 0, 0], "pos": shape.position}
    return {"type": mujoco.mjtGeom.mjGEOM_CAPSULE, "size": [*shape.size, 0, 0], "fromto": [*shape.position, *shape.end]}


def _color(name: str) -> tuple[float, float, float, float]:
    if name in ARM_LINKS:
        return (0.9, 0.9, 0.9, 1.0) if name != END_LINK else (0.75, 0.75, 0.75, 1.0)
    return (0.95, 0.95, 0.95, 1.0) if name.endswith("tip") else (0.2, 0.2, 0.2, 1.0)
