"""Deprojection, frames and crops, by hand."""

import numpy as np
import pytest

from lerobot_sdm.clouds.fps import farthest_point_sampling
from lerobot_sdm.clouds.geometry import (
    focal_length,
    inside_box,
    pixel_rays,
    rotation_x,
    rotation_y,
    rotation_z,
    sample_or_pad,
    transform,
)


@pytest.mark.parametrize(("fovy", "height", "expected"), [(60.0, 128, 110.85), (45.0, 84, 101.40), (90.0, 2, 1.0)])
def test_focal_length(fovy, height, expected):
    assert focal_length(fovy, height) == pytest.approx(expected, abs=5e-3)


def test_rays_through_centers_are_symmetric():
    rays = pixel_rays(2, 2, 90.0, offset=0.5).reshape(2, 2, 3)
    np.testing.assert_allclose(rays[0, 0], [-0.5, 0.5, -1])
    np.testing.assert_allclose(rays[1, 1], [0.5, -0.5, -1])


def test_rays_through_corners_are_half_a_pixel_off_toward_the_top_left():
    difference = pixel_rays(8, 8, 60.0, offset=0.0) - pixel_rays(8, 8, 60.0, offset=0.5)
    half = 0.5 / focal_length(60.0, 8)
    np.testing.assert_allclose(difference, np.broadcast_to([-half, half, 0], (64, 3)), atol=1e-6)


def test_rows_run_along_the_image():
    rays = pixel_rays(3, 5, 60.0, offset=0.5)
    assert rays.shape == (15, 3)
    assert rays.dtype == np.float32
    assert (np.diff(rays[:5, 0]) > 0).all()
    assert (rays[:5, 1] == rays[0, 1]).all()
    assert rays[5, 1] < rays[0, 1]


@pytest.mark.parametrize(
    ("rotation", "source", "target"),
    [
        (rotation_x, [0, 1, 0], [0, 0, 1]),
        (rotation_y, [0, 0, 1], [1, 0, 0]),
        (rotation_z, [1, 0, 0], [0, 1, 0]),
    ],
)
def test_quarter_turns(rotation, source, target):
    np.testing.assert_allclose(rotation(np.pi / 2) @ source, target, atol=1e-12)


def test_transform_rotates_before_it_moves():
    moved = transform(np.array([[1.0, 0, 0]], dtype=np.float32), rotation_z(np.pi / 2), [10, 0, 0])
    np.testing.assert_allclose(moved, [[10, 1, 0]], atol=1e-6)
    assert moved.dtype == np.float32


def test_the_box_is_open():
    points = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [1, 0.5, 0.5], [0.5, 0.5, 2]], dtype=np.float32)
    np.testing.assert_array_equal(inside_box(points, [0, 0, 0], [1, 1, 1]), [False, True, False, False])


def test_large_clouds_are_thinned_out_in_farthest_point_order():
    points = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    cloud = sample_or_pad(points, 32)
    np.testing.assert_array_equal(cloud, points[farthest_point_sampling(points, 32)])
    np.testing.assert_array_equal(cloud[:8], sample_or_pad(points, 8))


def test_small_clouds_keep_every_point_and_end_in_zeros():
    points = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32) + 10
    cloud = sample_or_pad(points, 8)
    assert cloud.dtype == np.float32
    np.testing.assert_array_equal(np.sort(cloud[:5], axis=0), np.sort(points, axis=0))
    np.testing.assert_array_equal(cloud[:3], sample_or_pad(points, 3))
    np.testing.assert_array_equal(cloud[5:], 0)


def test_an_empty_cloud_is_all_zeros():
    np.testing.assert_array_equal(sample_or_pad(np.empty((0, 6), dtype=np.float32), 4), np.zeros((4, 6)))
