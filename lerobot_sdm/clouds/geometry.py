"""Depth images to point clouds, frames, crops.

Camera coordinates follow MuJoCo: x right, y up, the camera looks along -z. Lengths are metres.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lerobot_sdm.clouds.fps import farthest_point_sampling


def rotation_x(angle: float) -> NDArray[np.float64]:
    """(3, 3) rotation by `angle` radians about x, counter-clockwise seen from its tip."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def rotation_y(angle: float) -> NDArray[np.float64]:
    """(3, 3) rotation by `angle` radians about y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotation_z(angle: float) -> NDArray[np.float64]:
    """(3, 3) rotation by `angle` radians about z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def focal_length(fovy: float, height: int) -> float:
    """Focal length in pixels of a pinhole with a vertical field of view of `fovy` degrees."""
    return height / (2 * np.tan(np.deg2rad(fovy) / 2))


def pixel_rays(height: int, width: int, fovy: float, offset: float) -> NDArray[np.float32]:
    """One ray per pixel in camera coordinates, scaled to depth 1, in row-major order.

    Args:
        height: Image height in pixels.
        width: Image width in pixels.
        fovy: Vertical field of view in degrees.
        offset: Where in its pixel a ray passes: 0.5 for the centre, which is where a renderer samples, or
            0.0 for the corner, as the DP3 pipeline deprojects (a shift of about 5 mm at 1 m for 128 pixels).

    Returns:
        (height * width, 3) float32; a point at depth d is d times its ray.
    """
    f = focal_length(fovy, height)
    right = (np.arange(width) + offset - width / 2) / f
    down = (np.arange(height) + offset - height / 2) / f
    rays = np.empty((height, width, 3), dtype=np.float32)
    rays[..., 0] = right[None, :]
    rays[..., 1] = -down[:, None]
    rays[..., 2] = -1.0
    return rays.reshape(-1, 3)


def transform(points: NDArray[np.floating], rotation: ArrayLike, translation: ArrayLike) -> NDArray:
    """Apply p -> R p + t to points (n, 3), in their own precision."""
    rotation = np.asarray(rotation, dtype=points.dtype)
    return points @ rotation.T + np.asarray(translation, dtype=points.dtype)


def inside_box(points: NDArray[np.floating], low: ArrayLike, high: ArrayLike) -> NDArray[np.bool_]:
    """Mask (n,) of the points (n, >=3) strictly between the two corners."""
    xyz = points[:, :3]
    low, high = np.asarray(low, dtype=points.dtype), np.asarray(high, dtype=points.dtype)
    return ((xyz > low) & (xyz < high)).all(axis=1)


def sample_or_pad(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Thin a cloud out to `count` points, or fill it up with rows of zeros.

    Args:
        points: (n, C) with x, y, z first.
        count: Rows of the result.

    Returns:
        (count, C) float32 in farthest-point order, so that any first k rows are a sample of k points;
        zero rows, if any, come last.
    """
    cloud = np.zeros((count, points.shape[1]), dtype=np.float32)
    order = farthest_point_sampling(points, min(count, len(points)))
    cloud[: len(order)] = points[order]
    return cloud
