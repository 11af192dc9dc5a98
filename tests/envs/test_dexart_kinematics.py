"""Both robots of the DexArt environments against forward kinematics computed from the published URDF by hand."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np
import pytest

from lerobot_sdm.envs.dexart.robot import ACTIVE_JOINTS, LINKS, PALM, stand_in_robot
from lerobot_sdm.envs.dexart.urdf import read_urdf

URDF = (
    Path(__file__).parents[2] / "../shared/data/dexart_robot/xarm6_description/xarm6_allegro_wrist_mounted_rotate.urdf"
)
needs_urdf = pytest.mark.skipif(not URDF.exists(), reason="needs the shared robot description")


def turn(axis, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def numbers(element, name: str, default: str) -> np.ndarray:
    return np.array((default if element is None else element.get(name, default)).split(), dtype=float)


def forward(angles: dict[str, float]) -> dict[str, np.ndarray]:
    """Link -> (4, 4) pose in the base, from the file's joints alone."""
    poses = {"world": np.eye(4)}
    joints = {joint.find("child").get("link"): joint for joint in ElementTree.parse(URDF).getroot().iter("joint")}

    def pose(link: str) -> np.ndarray:
        if link not in poses:
            joint = joints[link]
            roll, pitch, yaw = numbers(joint.find("origin"), "rpy", "0 0 0")
            step = np.eye(4)
            step[:3, :3] = turn((0, 0, 1), yaw) @ turn((0, 1, 0), pitch) @ turn((1, 0, 0), roll)
            step[:3, 3] = numbers(joint.find("origin"), "xyz", "0 0 0")
            if joint.get("type") == "revolute":
                step[:3, :3] = step[:3, :3] @ turn(
                    numbers(joint.find("axis"), "xyz", "1 0 0"), angles[joint.get("name")]
                )
            poses[link] = pose(joint.find("parent").get("link")) @ step
        return poses[link]

    for link in joints:
        pose(link)
    return poses


@needs_urdf
@pytest.mark.parametrize("robot", [stand_in_robot, lambda: read_urdf(URDF)], ids=["stand-in", "official"])
def test_links_are_where_the_urdf_says(robot):
    model = robot().compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    for _ in range(5):
        angles = {}
        for name in ACTIVE_JOINTS:
            joint = model.joint(name)
            angles[name] = data.qpos[joint.qposadr[0]] = rng.uniform(*joint.range)
        mujoco.mj_kinematics(model, data)
        expected = forward(angles)
        for link in LINKS:
            np.testing.assert_allclose(data.body(link).xpos, expected[link][:3, 3], atol=1e-6)
            np.testing.assert_allclose(data.body(link).xmat.reshape(3, 3), expected[link][:3, :3], atol=1e-6)


@needs_urdf
def test_joint_limits_and_masses_are_the_urdfs():
    root, model = ElementTree.parse(URDF).getroot(), stand_in_robot().compile()
    for joint in root.iter("joint"):
        if joint.get("type") == "revolute":
            limit = joint.find("limit")
            expected = float(limit.get("lower")), float(limit.get("upper"))
            np.testing.assert_allclose(model.joint(joint.get("name")).range, expected)
    for link in root.iter("link"):
        inertial = link.find("inertial")
        if inertial is not None:
            mass = float(inertial.find("mass").get("value"))
            assert model.body(link.get("name")).mass[0] == pytest.approx(mass)


def test_the_palm_at_zero():
    """Without the file: base height, elbow and wrist offsets summed by hand, to the millimeter."""
    model = stand_in_robot().compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    # x: 0.0535 + 0.0775 + 0.076; z: 0.267 + 0.2845 - 0.3425 - 0.097; the palm is 0.045 to the side and below.
    np.testing.assert_allclose(data.body("link6").xpos, [0.207, 0, 0.112], atol=1e-3)
    np.testing.assert_allclose(data.body(PALM).xpos, [0.207, -0.045, 0.067], atol=1e-3)
