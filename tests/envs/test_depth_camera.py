"""Both camera backends on a scene whose picture can be worked out by hand."""

import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from lerobot_sdm.envs.depth_camera import GOAL, GOAL_RADIUS, MARKER, NOTHING, Graphics, graphics_failure, open_camera

# A camera 2 m above a floor, looking down, and a box of 0.2 m height in the middle of the picture. A site hides
# the box from anyone who draws sites, and a geom of an invisible group from anyone who draws that.
SCENE = """
<mujoco>
  <asset><material name="blue" rgba="0 0 1 1"/></asset>
  <worldbody>
    <camera name="down" pos="0 0 2" fovy="60"/>
    <geom name="floor" type="plane" size="5 5 0.1" rgba="1 0 0 1"/>
    <geom name="box" type="box" size="0.2 0.2 0.1" pos="0 0 0.1" material="blue"/>
    <geom name="ghost" type="sphere" size="0.3" pos="0 0 1" group="4"/>
    <site name="marker" type="sphere" size="0.3" pos="0 0 1"/>
  </worldbody>
</mujoco>
"""
SIZE = 31
BACKENDS = ["raycast", "egl"]


@pytest.fixture(scope="module", params=BACKENDS)
def scene(request):
    if request.param == "egl" and graphics_failure():
        pytest.skip(graphics_failure())
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = open_camera(model, request.param, SIZE)
    yield camera, data
    camera.close()


def test_depth_is_metric_and_along_the_axis(scene):
    camera, data = scene
    depth = camera.take(data, "down", SIZE).depth
    assert depth.shape == (SIZE, SIZE)
    assert depth.dtype == np.float32
    assert depth[SIZE // 2, SIZE // 2] == pytest.approx(1.8, abs=1e-4)
    # A floor at right angles to the axis is equally deep everywhere, however far from the camera.
    assert depth[0, 0] == pytest.approx(2.0, abs=1e-4)
    assert depth[0, -1] == pytest.approx(2.0, abs=1e-4)
    # Half angle 30 degrees: the box spans 0.4 of 2 * 1.8 * tan(30 degrees) = 2.08 m, 6 of 31 pixels.
    assert (depth < 1.9).sum() in (25, 36)


def test_colors_are_those_of_geoms_and_materials(scene):
    camera, data = scene
    picture = camera.take(data, "down", SIZE, color=True)
    assert picture.color.shape == (SIZE, SIZE, 3)
    assert picture.color[SIZE // 2, SIZE // 2].argmax() == 2
    np.testing.assert_array_equal(camera.photograph(data, "down", SIZE), picture.color)
    assert picture.color[0, 0].argmax() == 0
    assert camera.take(data, "down", SIZE).color is None


def test_the_goal_is_a_ball(scene):
    camera, data = scene
    goal = np.array([0.0, 0.0, 1.5])
    picture = camera.take(data, "down", SIZE, color=True, goal=goal)
    plain = camera.take(data, "down", SIZE, goal=goal)
    assert picture.depth.min() == pytest.approx(0.5 - GOAL_RADIUS, abs=2e-3)
    np.testing.assert_allclose(plain.depth, picture.depth, atol=1e-4)
    assert picture.color[SIZE // 2, SIZE // 2].argmax() == 1
    assert camera.take(data, "down", SIZE).depth.min() > 1.7


@pytest.mark.parametrize("renderer", BACKENDS)
@pytest.mark.parametrize(
    ("shape", "size", "top", "area"),
    [
        ("sphere", "0.2", 0.2, np.pi * 0.2**2),
        ("capsule", "0.1 0.2", 0.3, np.pi * 0.1**2),
        ("ellipsoid", "0.2 0.3 0.1", 0.1, np.pi * 0.2 * 0.3),
        ("cylinder", "0.2 0.1", 0.1, np.pi * 0.2**2),
        ("box", "0.2 0.3 0.1", 0.1, 0.4 * 0.6),
    ],
)
def test_markers_of_every_shape_are_shown(renderer, shape, size, top, area):
    """From so far away, a marker's pixels are its area as seen from above."""
    if renderer == "egl" and graphics_failure():
        pytest.skip(graphics_failure())
    size_of_picture, away = 101, 50
    model = mujoco.MjModel.from_xml_string(f"""
      <mujoco><statistic extent="{away}"/><worldbody>
        <camera name="down" pos="0 0 {top + away}" fovy="1"/><site type="{shape}" size="{size}"/>
      </worldbody></mujoco>""")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = open_camera(model, renderer, size_of_picture)
    picture = camera.take(data, "down", size_of_picture, markers=True)
    assert picture.depth[50, 50] == pytest.approx(away, abs=0.01)
    pixel = 2 * away * np.tan(np.deg2rad(0.5)) / size_of_picture
    assert (picture.geoms == MARKER).sum() * pixel**2 == pytest.approx(area, rel=0.06)
    assert (camera.take(data, "down", size_of_picture).geoms == NOTHING).all()
    camera.close()


@pytest.mark.skipif(graphics_failure() is not None, reason=str(graphics_failure()))
def test_cameras_of_equal_scenes_share_graphics():
    """Each sees its own scene, and goes on when another one closes; other scenes and sizes have their own."""
    models = [mujoco.MjModel.from_xml_string(SCENE) for _ in range(3)]
    models[2].geom("box").pos[0] += 0.1
    before = len(Graphics.shared)
    cameras = [open_camera(model, "egl", SIZE + 1) for model in models]
    cameras.append(open_camera(models[0], "egl", SIZE + 2))
    assert len(Graphics.shared) == before + 3
    worlds = [mujoco.MjData(model) for model in models]
    models[1].geom("box").pos[2] += 0.3  # As a task may at its reset.
    for model, data in zip(models, worlds, strict=True):
        mujoco.mj_forward(model, data)
    first, second, _ = (camera.take(data, "down", SIZE) for camera, data in zip(cameras, worlds, strict=False))
    assert not np.array_equal(first.depth, second.depth)
    for camera in cameras[1:]:
        camera.close()
    again = cameras[0].take(worlds[0], "down", SIZE)
    np.testing.assert_array_equal(again.depth, first.depth)
    assert len(Graphics.shared) == before + 1
    cameras[0].close()
    assert len(Graphics.shared) == before


@pytest.mark.skipif(graphics_failure() is not None, reason=str(graphics_failure()))
def test_the_goal_is_no_geom_of_an_earlier_picture():
    """MuJoCo leaves some fields of a ball as they were in memory."""
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera = open_camera(model, "egl", SIZE)
    for leftover in camera._scene.geoms:
        leftover.objtype, leftover.objid = mujoco.mjtObj.mjOBJ_GEOM, 0
    geoms = camera.take(data, "down", SIZE, goal=np.array([0.0, 0.0, 1.5])).geoms
    assert geoms[SIZE // 2, SIZE // 2] == GOAL
    camera.close()


def test_nothing_is_infinitely_far(scene):
    camera, data = scene
    # Straight up there is only the ball.
    data.cam_xmat[0] = np.diag([1.0, -1.0, -1.0]).ravel()
    picture = camera.take(data, "down", SIZE, color=True, goal=np.array([0, 0, 3.0]))
    mujoco.mj_forward(data.model, data)
    assert np.isinf(picture.depth[0, 0])
    assert (picture.color[0, 0] == 0).all()
    assert picture.depth[SIZE // 2, SIZE // 2] == pytest.approx(1 - GOAL_RADIUS, abs=2e-3)


def test_smaller_pictures_from_the_same_camera(scene):
    camera, data = scene
    assert camera.take(data, "down", 9).depth[4, 4] == pytest.approx(1.8, abs=1e-4)


def test_closing_twice_is_fine():
    camera = open_camera(mujoco.MjModel.from_xml_string(SCENE), "auto", 8)
    camera.close()
    camera.close()


def test_without_graphics_auto_says_so_once_and_casts_rays():
    program = f"""
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
import mujoco
from lerobot_sdm.envs.depth_camera import open_camera
model = mujoco.MjModel.from_xml_string({SCENE!r})
print(type(open_camera(model, "auto", 8)).__name__, type(open_camera(model, "auto", 8)).__name__)
try:
    open_camera(model, "egl", 8)
except RuntimeError as error:
    print("refused", error)
"""
    environment = {**os.environ, "MUJOCO_GL": "disable"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "RayDepthCamera RayDepthCamera" in done.stdout
    assert done.stdout.count("WARNING no offscreen OpenGL here") == 1
    assert "refused renderer='egl'" in done.stdout
