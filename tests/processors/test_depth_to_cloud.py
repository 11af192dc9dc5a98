"""Depth images to clouds, against hand calculations and against MuJoCo scenes whose surfaces are known."""

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
from depth_world import BALL_RADIUS, COLOR_KEY, DEPTH_KEY, DepthWorld, distance_to_surfaces

from lerobot_sdm.envs.depth_camera import GLDepthCamera, RayDepthCamera, graphics_failure
from lerobot_sdm.envs.metaworld.env import CORNER2_POSITION, CORNER2_ROTATION, MetaWorldPointCloudEnv, legacy_frame
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import depth_config
from lerobot_sdm.processors.depth_to_cloud import DepthToCloud

BOX = [[-0.5, -0.5, -0.01], [0.5, 0.5, 0.5]]
# A camera at (1, 2, 3) that looks down: its x is the frame's x, its y the frame's -y, its z the frame's -z.
DOWN = [[1, 0, 0, 1], [0, -1, 0, 2], [0, 0, -1, 3], [0, 0, 0, 1]]


@pytest.fixture(scope="module")
def world():
    world = DepthWorld()
    world.reset(seed=0)
    yield world
    world.close()


def make_cloud(camera: dict, images: dict, **fields) -> np.ndarray:
    return DepthToCloud(depth_config({"cameras": [camera], "num_points": 1, **fields}))(images)


def one_pixel(row: int, column: int, value, dtype) -> np.ndarray:
    image = np.zeros((480, 640), dtype=dtype)
    image[row, column] = value
    return image


def realsense(**changes) -> dict:
    camera = {"depth_key": DEPTH_KEY, "width": 640, "height": 480, "intrinsics": [600, 500, 320, 240]}
    return camera | {"extrinsics": np.eye(4).tolist()} | changes


@pytest.mark.parametrize(
    ("value", "dtype", "scale"),
    [
        (1500, np.uint16, 0.001),
        (1.5, np.float32, 1.0),
        (1500.0, np.float32, 0.001),
        (15000, np.uint16, 0.0001),  # a RealSense D405
        (6000, np.uint16, 0.00025),  # an L515
    ],
)
def test_a_pixel_by_hand(value, dtype, scale):
    """60 columns right of the axis, 30 rows above it: x = 1.5 * 60/600, y = 1.5 * -30/500."""
    images = {DEPTH_KEY: one_pixel(210, 380, value, dtype)}
    cloud = make_cloud(realsense(depth_scale=scale), images)
    np.testing.assert_allclose(cloud, [[0.15, -0.09, 1.5]], atol=1e-6)
    moved = make_cloud(realsense(depth_scale=scale, extrinsics=DOWN), images)
    np.testing.assert_allclose(moved, [[1.15, 2.09, 1.5]], atol=1e-6)


def test_the_documented_scale_of_a_camera_is_one_count_in_meters():
    page = (Path(__file__).parents[2] / "docs/depth_cameras.md").read_text()
    rows = re.findall(r"\| RealSense ([^|]+) \| `intelrealsense` \| ([\d.]+) mm \| ([\d.]+)", page)
    scales = {camera: float(scale) for camera, _, scale in rows}
    assert scales == pytest.approx({camera: float(count) / 1000 for camera, count, _ in rows})
    assert {"D405": 0.0001, "L515": 0.00025}.items() <= scales.items()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf, -1.0, 0.04, 5.1])
def test_what_is_no_measurement_becomes_a_row_of_zeros(value, caplog):
    image = one_pixel(0, 0, value, np.float32)
    cloud = make_cloud(realsense(depth_scale=1.0), {DEPTH_KEY: image}, num_points=3)
    np.testing.assert_array_equal(cloud, np.zeros((3, 3)))
    assert "all zeros" in caplog.text


def test_few_points_come_first_and_zeros_last():
    image = one_pixel(10, 10, 1000, np.uint16)
    image[20, 20] = 900
    cloud = make_cloud(realsense(), {DEPTH_KEY: image}, num_points=5)
    assert (cloud[:2, 2] > 0.8).all()
    np.testing.assert_array_equal(cloud[2:], 0)


@pytest.mark.parametrize("convention", ["opencv", "opengl"])
@pytest.mark.parametrize(("unit", "scale", "tolerance"), [("m", 1.0, 1e-3), ("mm", 0.001, 1.5e-3)])
def test_points_lie_on_the_surfaces_of_the_scene(world, convention, unit, scale, tolerance):
    """Rendered balls are polyhedra, and whole millimeters round by half of one along a slanted ray."""
    depth = world.look().depth if unit == "m" else world.observe()["depth"][..., 0]
    camera = world.calibration(convention, depth_scale=scale)
    cloud = make_cloud(camera, {DEPTH_KEY: depth}, crop=BOX, num_points=1500)
    error = distance_to_surfaces(cloud, world.data.mocap_pos[0])
    assert error.max() < tolerance
    assert np.median(error) < (1e-5 if unit == "m" else 3e-4)


def test_every_point_is_where_a_ray_from_the_camera_ends(world):
    """MuJoCo's own ray casting as a second witness: it knows nothing of intrinsics."""
    camera = world.calibration(depth_scale=1.0)
    cloud = make_cloud(camera, {DEPTH_KEY: world.look().depth}, crop=BOX, num_points=400)
    origin = np.array(camera["extrinsics"])[:3, 3]
    geom = np.empty(1, dtype=np.int32)
    errors = []
    for point in cloud.astype(np.float64):
        distance = mujoco.mj_ray(world.model, world.data, origin, point - origin, None, 1, -1, geom)
        errors.append(abs(distance - 1) * np.linalg.norm(point - origin))
    # At its outline the drawn ball, a polyhedron, is narrower than the true one that rays meet.
    assert np.mean(np.array(errors) < 1e-3) > 0.98


def test_it_makes_the_clouds_of_the_simulated_environments(monkeypatch):
    """The picture behind a MetaWorld observation, deprojected with what is known of its camera, in the frame and with
    the half-pixel shift of the DP3 demonstrations: the same points, up to rounding."""
    pictures = []
    take = GLDepthCamera.take if graphics_failure() is None else RayDepthCamera.take

    def remember(self, *args, **kwargs):
        pictures.append(take(self, *args, **kwargs))
        return pictures[-1]

    monkeypatch.setattr(GLDepthCamera if graphics_failure() is None else RayDepthCamera, "take", remember)
    env = MetaWorldPointCloudEnv("drawer-open", view="dp3", num_points=256, use_color=True, camera_size=64)
    observation, _ = env.reset(seed=0)
    env.close()

    frame = legacy_frame()
    pose = np.eye(4)
    pose[:3, :3] = frame.rotation @ CORNER2_ROTATION
    pose[:3, 3] = frame.rotation @ CORNER2_POSITION + frame.translation
    focal = 64 / 2 / np.tan(np.deg2rad(60) / 2)
    camera = {
        "depth_key": DEPTH_KEY,
        "width": 64,
        "height": 64,
        "intrinsics": [focal, focal, 32, 32],
        "extrinsics": pose.tolist(),
        "convention": "opengl",
        "depth_scale": 1.0,
        "color_key": COLOR_KEY,
    }
    images = {DEPTH_KEY: pictures[-1].depth, COLOR_KEY: pictures[-1].color}
    cloud = make_cloud(camera, images, crop=frame.crop, num_points=256)
    np.testing.assert_allclose(cloud, observation["point_cloud"], atol=1e-5)


def test_points_carry_the_color_of_what_they_lie_on(world):
    picture = world.look()
    images = {DEPTH_KEY: picture.depth, COLOR_KEY: picture.color}
    camera = world.calibration(depth_scale=1.0, color_key=COLOR_KEY)
    cloud = make_cloud(camera, images, crop=BOX, num_points=1500)
    assert cloud.shape == (1500, 6)
    on_ball = np.linalg.norm(cloud[:, :3] - world.data.mocap_pos[0], axis=1) < BALL_RADIUS + 1e-3
    inner = on_ball & (cloud[:, 2] > 0.02)
    assert inner.sum() > 20
    assert (cloud[inner, 3] > cloud[inner, 4] + 20).all()  # the ball is red


def test_colors_of_a_second_camera_are_looked_up_through_its_own_lens(world):
    """A color camera of half the focal length, 5 cm to the right: the answer must be the color picture's pixel at
    the projection of each point, found here with plain matrices."""
    picture = world.look()
    camera = world.calibration(depth_scale=1.0, color_key=COLOR_KEY)
    fx, fy, cx, cy = camera["intrinsics"]
    lens = [fx / 2, fy / 2, cx, cy]
    shift = np.eye(4)
    shift[0, 3] = -0.05
    colors = np.arange(64 * 64 * 3).reshape(64, 64, 3) % 251
    cloud = make_cloud(
        camera | {"color_intrinsics": lens, "depth_to_color": shift.tolist()},
        {DEPTH_KEY: picture.depth, COLOR_KEY: colors.astype(np.uint8)},
        crop=BOX,
        num_points=200,
    )
    to_depth = np.linalg.inv(np.array(camera["extrinsics"]))
    seen = cloud[:, :3] @ to_depth[:3, :3].T + to_depth[:3, 3] + shift[:3, 3]
    column, row = np.rint(lens[0] * seen[:, 0] / seen[:, 2] + cx), np.rint(lens[1] * seen[:, 1] / seen[:, 2] + cy)
    matching = (cloud[:, 3:] == colors[row.astype(int), column.astype(int)]).all(axis=1)
    assert matching.mean() > 0.98  # rounding may differ at the edge of a pixel


def test_a_point_outside_the_color_picture_is_black():
    camera = realsense(color_key=COLOR_KEY, color_intrinsics=[60000, 60000, 320, 240])
    images = {DEPTH_KEY: one_pixel(100, 100, 1000, np.uint16), COLOR_KEY: np.full((48, 64, 3), 9, dtype=np.uint8)}
    np.testing.assert_array_equal(make_cloud(camera, images)[0, 3:], 0)


def test_stride_takes_every_second_row_and_column(world):
    depth = world.look().depth
    fine = make_cloud(world.calibration(depth_scale=1.0), {DEPTH_KEY: depth}, num_points=64 * 64)
    coarse = make_cloud(world.calibration(depth_scale=1.0, stride=2), {DEPTH_KEY: depth}, num_points=32 * 32)
    assert {tuple(p) for p in coarse} <= {tuple(p) for p in fine}
    picture = np.stack(np.meshgrid(np.arange(64), np.arange(64), [0], indexing="ij"), axis=-1)[:, :, 0].astype(np.uint8)
    camera = world.calibration(depth_scale=1.0, stride=2, color_key=COLOR_KEY)
    colored = make_cloud(camera, {DEPTH_KEY: depth, COLOR_KEY: picture}, num_points=32 * 32)
    assert set(colored[:, 3]) == set(range(0, 64, 2))


def test_two_cameras_make_one_cloud(world):
    depth = world.look().depth
    one = make_cloud(world.calibration(depth_scale=1.0), {DEPTH_KEY: depth}, num_points=64 * 64)
    config = {
        "cameras": [world.calibration(depth_scale=1.0), world.calibration("opengl", depth_scale=1.0, depth_key="b")],
        "num_points": 2 * 64 * 64,
    }
    both = DepthToCloud(depth_config(config))({DEPTH_KEY: depth, "b": depth})
    assert len({tuple(np.round(p, 4)) for p in both} ^ {tuple(np.round(p, 4)) for p in one}) < 20


@pytest.mark.parametrize(
    ("image", "scale", "says"),
    [
        (np.full((480, 640), 1.234, dtype=np.float32), 0.001, "depth_scale=1."),
        (np.full((480, 640), 900, dtype=np.uint16), 1.0, "depth_scale=0.001"),
        (np.full((240, 320), 900, dtype=np.uint16), 0.001, "(480, 640)"),
    ],
)
def test_images_that_cannot_be_meant(image, scale, says):
    with pytest.raises(InputError, match=DEPTH_KEY) as caught:
        make_cloud(realsense(depth_scale=scale), {DEPTH_KEY: image})
    assert says in str(caught.value)


def test_colors_of_another_size_need_their_own_intrinsics():
    images = {DEPTH_KEY: one_pixel(1, 1, 900, np.uint16), COLOR_KEY: np.zeros((720, 1280, 3), dtype=np.uint8)}
    with pytest.raises(InputError, match="color_intrinsics"):
        make_cloud(realsense(color_key=COLOR_KEY), images)
