"""DexArt's robot and one object in MuJoCo."""

import itertools

import mujoco
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.dexart.objects import ArticulatedObject
from lerobot_sdm.envs.dexart.robot import (
    ACTIVE_JOINTS,
    ARM_GAINS,
    ARM_JOINTS,
    ARM_LINKS,
    END_LINK,
    FINGER_GAINS,
    FINGER_JOINTS,
    FINGER_LINKS,
    LINKS,
    PALM,
)
from lerobot_sdm.envs.dexart.state import CONTROL_STEP, TOUCH_IMPULSE, Measured, Placement
from lerobot_sdm.envs.dexart.tasks import ROBOT_X, DexArtTask
from lerobot_sdm.envs.dexart.views import FIELD_OF_VIEW, HUMAN, OBSERVER, human_viewer, observer

TIME_STEP, SUBSTEPS = 0.004, 10
GROUND, WOOD = (0.45, 0.4, 0.35, 1), (0.6, 0.5, 0.4, 1)

# Part that a contact's geom belongs to: a finger by its index in this tuple, or one of the numbers after it.
FINGERS = tuple(FINGER_LINKS)
PALM_PART, ARM_PART, HAND_PART, HANDLE_PART, BASE_PART, OTHER = range(len(FINGERS), len(FINGERS) + 6)
PART_OF_BODY = (
    dict.fromkeys(LINKS, HAND_PART)
    | dict.fromkeys(ARM_LINKS, ARM_PART)
    | {link: number for number, finger in enumerate(FINGERS) for link in FINGER_LINKS[finger]}
    | {PALM: PALM_PART, "handle": HANDLE_PART, "object": BASE_PART}
)


def make_scene(robot: mujoco.MjSpec, thing: ArticulatedObject, task: type[DexArtTask]) -> mujoco.MjModel:
    """Compile ground, pedestal, robot, object, drives and cameras; arguments as for `MuJoCoWorld`."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = TIME_STEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_EULER
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.visual.map.znear, spec.visual.map.zfar = 0.005, 10
    spec.stat.extent = 2.0
    # A fixed extent keeps the images' clipping planes independent of the object.
    spec.worldbody.add_light(pos=[0.3, 0.8, 2.5], dir=[-0.1, -0.3, -1], castshadow=False)
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    spec.worldbody.add_geom(name="ground", type=plane, size=[3, 3, 0.1], rgba=GROUND)
    if task.pedestal is not None:
        spec.worldbody.add_geom(
            name="pedestal",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=task.pedestal,
            rgba=WOOD,
            pos=[ROBOT_X, 0, task.pedestal[2]],
        )
    spec.worldbody.add_frame(pos=[ROBOT_X, 0, task.root_height]).attach_body(robot.body("link_base"), "", "")
    spec.worldbody.add_frame().attach_body(thing.spec.body("object"), "", "")
    if thing.free:
        spec.body("object").add_freejoint()
    moving = ["handle", *(body.name for body in spec.body("handle").find_all("body"))]
    fixed = [body.name for body in thing.spec.bodies if body.name not in ("world", *moving)]
    # Their hinge's range keeps them apart, as neighbors are in PhysX. MuJoCo lets a child meet a parent that cannot
    # move, and where a lid and its base overlap at the hinge two boxes were now and then found 0.3 m inside each other.
    for one, other in itertools.product(fixed, moving):
        spec.add_exclude(bodyname1=one, bodyname2=other)
    _prepare_robot(spec)
    for name, (position, axes) in ((OBSERVER, observer(task)), (HUMAN, human_viewer(task))):
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, axes.ravel())
        spec.worldbody.add_camera(name=name, pos=position, quat=quaternion, fovy=FIELD_OF_VIEW)
    return spec.compile()


def _prepare_robot(spec: mujoco.MjSpec) -> None:
    """Remove gravity, add drives and friction, and exclude contacts between links that always overlap."""
    for name in LINKS:
        body = spec.body(name)
        body.gravcomp = 1.0
        for geom in body.geoms:
            geom.condim, geom.friction = 4, [1.0, 0.01, 0.0001]
    for joints, (stiffness, damping, force) in ((ARM_JOINTS, ARM_GAINS), (FINGER_JOINTS, FINGER_GAINS)):
        # A step h of implicit Euler for the drive is (M + h d + h^2 k) dv = h (k (q* - q - h v) + d (v* - v)). Written
        # as lent inertia and an explicit force, contacts meet the inertia that the drive really gives its joint. With
        # `implicitfast` lids jumped through fingers, presumably because contacts meet M alone there.
        lent = TIME_STEP * damping + TIME_STEP**2 * stiffness
        for joint in joints:
            spec.joint(joint).armature = lent
            drive = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            drive.gaintype, drive.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
            drive.gainprm[0], drive.biasprm[:3] = stiffness, [0, -stiffness, -damping - TIME_STEP * stiffness]
            drive.forcelimited, drive.forcerange = True, [-force, force]
    # DexArt leaves out contacts among palm and first phalanges; neighbors overlap at their joints.
    close = [PALM, "link_1.0", "link_5.0", "link_9.0", "link_13.0"]
    pairs = {(a, b) for i, a in enumerate(close) for b in close[i + 1 :]}
    for name, link in LINKS.items():
        grandparent = LINKS[link.parent].parent if link.parent else ""
        pairs |= {(ancestor, name) for ancestor in (link.parent, grandparent) if ancestor}
    pairs |= {(PALM, link) for link in ("link5", "link4")} | {
        (END_LINK, f"link_{first}.0") for first in (0, 4, 8, 12, 13)
    }
    for a, b in pairs:
        spec.add_exclude(bodyname1=a, bodyname2=b)


class MuJoCoWorld:
    """MuJoCo with DexArt's robot and one object in it.

    Args:
        robot: Its description, base link at the origin.
        thing: The object.
        task: Says where the robot stands and how it is seen.

    Attributes:
        handle_range: Range of the object's joint.
        finger_limits: Lowest and highest angle (16,) of the finger joints, in the order of `FINGER_JOINTS`.
    """

    def __init__(self, robot: mujoco.MjSpec, thing: ArticulatedObject, task: type[DexArtTask]):
        self.model = model = make_scene(robot, thing, task)
        self.data = mujoco.MjData(model)
        self.handle_range = thing.handle_range
        self._free = thing.free
        joints = [model.joint(name) for name in ACTIVE_JOINTS]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._drives = np.array([model.actuator(name).id for name in ACTIVE_JOINTS])
        self.joint_limits = model.jnt_range[[joint.id for joint in joints]].T
        self.finger_limits = tuple(self.joint_limits[:, len(ARM_JOINTS) :])
        self._handle = model.joint("handle").qposadr[0]
        self._palm, self._end = model.body(PALM).id, model.body(END_LINK).id
        self._root = model.body("object").id
        self._height = 0.0
        self._part = np.array([self._part_of(body) for body in model.geom_bodyid])

    def _part_of(self, body: int) -> int:
        """The part that a body belongs to; an official object has several bodies, which keep their names."""
        model = self.model
        part = PART_OF_BODY.get(model.body(body).name, OTHER)
        if part != OTHER or model.body_rootid[body] != self._root:
            return part
        return HANDLE_PART if model.body_weldid[body] == model.body("handle").id else BASE_PART

    def reset(self, placement: Placement) -> Measured:
        """Put robot and object at the start of an episode."""
        model, data = self.model, self.data
        mujoco.mj_resetData(model, data)
        pose = [*placement.position, np.cos(placement.yaw / 2), 0, 0, np.sin(placement.yaw / 2)]
        if self._free:
            data.joint(model.body_jntadr[self._root]).qpos[:] = pose
        else:
            model.body_pos[self._root], model.body_quat[self._root] = pose[:3], pose[3:]
        data.qpos[self._handle] = placement.angle
        # DexArt starts at zero, which the thumb's first joint cannot reach: PhysX pushes it to its limit.
        data.qpos[self._qpos] = np.clip(0.0, *self.joint_limits)
        data.ctrl[self._drives] = data.qpos[self._qpos]
        mujoco.mj_forward(model, data)
        self._height = data.xpos[self._root, 2]
        return self.measure()

    def overlap(self) -> float:
        """Penetration depth of the robot in the object, meters; 0 if they are apart."""
        of_object = np.isin(self._part[self.data.contact.geom], (HANDLE_PART, BASE_PART))
        of_robot = self._part[self.data.contact.geom] < HANDLE_PART
        between = of_object.any(axis=1) & of_robot.any(axis=1)
        return -float(self.data.contact.dist[between].min(initial=0.0))

    def jacobian(self) -> NDArray[np.float64]:
        """(6, 6) linear, then angular velocity of the end link's origin for the arm's joint velocities."""
        linear, angular = np.zeros((2, 3, self.model.nv))
        mujoco.mj_jacBody(self.model, self.data, linear, angular, self._end)
        return np.vstack([linear, angular])[:, self._qvel[: len(ARM_JOINTS)]]

    def step(
        self, arm_velocity: NDArray[np.float64], fingers: NDArray[np.float64], wanted: NDArray[np.float64]
    ) -> Measured:
        """Simulate one control step.

        Args:
            arm_velocity: (6,) for the arm's drives, radians per second.
            fingers: (16,) position targets.
            wanted: (3,) linear velocity asked of the end link, for the tracking error.
        """
        model, data = self.model, self.data
        stiffness, damping, _ = ARM_GAINS
        arm = data.qpos[self._qpos[: len(ARM_JOINTS)]] + arm_velocity * CONTROL_STEP
        # A drive with position and velocity targets is one whose position target leads by damping over stiffness.
        data.ctrl[self._drives] = np.concatenate([arm + damping / stiffness * arm_velocity, fingers])
        before = data.xpos[self._end].copy()
        mujoco.mj_step(model, data, SUBSTEPS)
        # Positions belong to the state before the last simulation step; contact forces must stay those of that step.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        error = data.xpos[self._end] - before - wanted * CONTROL_STEP
        return self.measure(float(np.linalg.norm(error)))

    def measure(self, tracking_error: float = 0.0) -> Measured:
        """The state as tasks see it; derived positions must be up to date."""
        data = self.data
        velocity = np.empty(6)
        mujoco.mj_objectVelocity(self.model, data, mujoco.mjtObj.mjOBJ_XBODY, self._palm, velocity, 0)
        on_handle, on_base = self._impulses()
        fingers = int((on_handle[: len(FINGERS)] >= TOUCH_IMPULSE).sum())
        hand = [*range(len(FINGERS)), PALM_PART, HAND_PART]
        return Measured(
            qpos=data.qpos[self._qpos].copy(),
            qvel=data.qvel[self._qvel].copy(),
            palm_position=data.xpos[self._palm].copy(),
            palm_rotation=data.xmat[self._palm].reshape(3, 3).copy(),
            palm_velocity=velocity[3:],
            palm_spin=velocity[:3],
            handle=data.site("handle").xpos.copy(),
            angle=float(data.qpos[self._handle]),
            height=float(data.xpos[self._root, 2] - self._height),
            fingers=fingers,
            palm_touches=bool(on_handle[PALM_PART] >= TOUCH_IMPULSE),
            arm_touches=bool((on_handle + on_base)[ARM_PART] >= TOUCH_IMPULSE),
            base_touched=bool(on_base[hand].sum() >= TOUCH_IMPULSE),
            tracking_error=tracking_error,
        )

    def _impulses(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Contact impulses of the last simulation step on handle and base of the object, by part of the robot."""
        sums = {HANDLE_PART: np.zeros(OTHER + 1), BASE_PART: np.zeros(OTHER + 1)}
        force = np.empty(6)
        for index, parts in enumerate(self._part[self.data.contact.geom]):
            for touched, by in (parts, parts[::-1]):
                if touched in sums:
                    mujoco.mj_contactForce(self.model, self.data, index, force)
                    sums[touched][by] += np.linalg.norm(force[:3]) * TIME_STEP
        return sums[HANDLE_PART], sums[BASE_PART]
