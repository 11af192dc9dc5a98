"""Geometry of point clouds: deprojection of depth images, transforms between frames, crops.

Camera coordinates follow MuJoCo and OpenGL (x right, y up, the camera looks along -z). Only `pinhole_rays` follows
OpenCV and camera drivers (x right, y down, the camera looks along +z). Lengths are in meters.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lerobot_sdm.clouds.fps import farthest_point_sampling

OPENCV_TO_OPENGL = np.array([1.0, -1.0, -1.0])
"""Signs that convert x, y, z between the two camera conventions, in either direction."""


def rotation_x(angle: float) -> NDArray[np.float64]:
    """(3, 3) rotation by `angle` radians about x, right-handed."""
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
        height, width: Of the image, in pixels.
        fovy: Vertical field of view in degrees.
        offset: Position of the ray within its pixel: 0.5 for the center, where a renderer samples, or 0.0 for the
            corner, as in the DP3 pipeline (a shift of about 5 mm at 1 m for 128 pixels).

    Returns:
        (height * width, 3) float32; a point at depth d is d times its ray.
    """
    f = focal_length(fovy, height)
    # A pixel's index denotes its center for a camera driver, but its left or upper edge for a renderer.
    rays = pinhole_rays(height, width, f, f, width / 2 - offset, height / 2 - offset)
    return rays * OPENCV_TO_OPENGL.astype(np.float32)


def pinhole_rays(height: int, width: int, fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float32]:
    """One ray per pixel in OpenCV's camera coordinates, scaled to depth 1, in row-major order.

    The inverse of the pinhole projection u = fx x / z + cx, v = fy y / z + cy without lens distortion; u and v are
    integers at pixel centers.

    Args:
        height, width: Of the image, in pixels.
        fx, fy: Focal lengths in pixels.
        cx, cy: Column and row of the optical axis.

    Returns:
        (height * width, 3) float32; a point at depth d is d times its ray.
    """
    rays = np.ones((height, width, 3), dtype=np.float32)
    rays[..., 0] = ((np.arange(width) - cx) / fx)[None, :]
    rays[..., 1] = ((np.arange(height) - cy) / fy)[:, None]
    return rays.reshape(-1, 3)


def deproject(
    depth: NDArray[np.floating],
    valid: NDArray[np.bool_],
    rays: NDArray[np.float32],
    rotation: ArrayLike,
    translation: ArrayLike,
    box: tuple[ArrayLike, ArrayLike] | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Deproject a depth image to the points that lie in a box, in the box's frame.

    Args:
        depth: (H * W,) meters along the optical axis, in the order of `rays`.
        valid: (H * W,) mask of the pixels that have a depth; the others are ignored.
        rays: (H * W, 3), see `pixel_rays` and `pinhole_rays`.
        rotation: (3, 3) camera to frame.
        translation: (3,) position of the camera in the frame, meters.
        box: Lowest and highest corner, meters; None keeps every point.

    Returns:
        The points (n, 3) float32, in the order of their pixels, and the indices of these pixels (n,).
    """
    pixels = np.flatnonzero(valid)
    points = transform(depth[pixels, None] * rays[pixels], rotation, translation)
    if box is not None:
        inside = inside_box(points, *box)
        points, pixels = points[inside], pixels[inside]
    return points, pixels


def transform(points: NDArray[np.floating], rotation: ArrayLike, translation: ArrayLike) -> NDArray:
    """Apply p -> R p + t to points (n, 3), in their own precision."""
    rotation = np.asarray(rotation, dtype=points.dtype)
    return points @ rotation.T + np.asarray(translation, dtype=points.dtype)


def inside_box(points: NDArray[np.floating], low: ArrayLike, high: ArrayLike) -> NDArray[np.bool_]:
    """Mask (n,) of the points (n, >=3) strictly between the two corners."""
    xyz = points[:, :3]
    low, high = np.asarray(low, dtype=points.dtype), np.asarray(high, dtype=points.dtype)
    return np.all((xyz > low) & (xyz < high), axis=1)


def sample_or_pad(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Subsample a cloud to `count` points, or pad it with rows of zeros.

    Args:
        points: (n, C) with x, y, z first.
        count: Rows of the result.

    Returns:
        (count, C) float32 in farthest-point order, so that the first k rows are a farthest point sample for any k;
        zero rows, if any, come last.
    """
    cloud = np.zeros((count, points.shape[1]), dtype=np.float32)
    order = farthest_point_sampling(points, min(count, len(points)))
    cloud[: len(order)] = points[order]
    return cloud
