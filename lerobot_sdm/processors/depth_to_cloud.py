"""Convert depth images, as arrays, to one cloud: scaling, deprojection, crop, colors, farthest point sampling."""

import logging
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.clouds.geometry import OPENCV_TO_OPENGL, deproject, pinhole_rays, sample_or_pad, transform
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import DepthCamera, DepthToCloudConfig

logger = logging.getLogger(__name__)

# An image whose values are all below this and include fractions of a millimeter must be in meters.
NEAREST_PICTURE = 0.02
# No depth camera has a larger mean depth.
FARTHEST_PICTURE = 50.0


class DepthToCloud:
    """Makes clouds from the images of the configured cameras."""

    def __init__(self, config: DepthToCloudConfig):
        self.config = config
        self._views = [_View(camera, config.crop) for camera in config.cameras]
        self._warned = False

    def __call__(self, images: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """Make one cloud (num_points, 3 or 6) float32 in farthest-point order, zero rows last if points are too few.

        Args:
            images: Depth images (H, W), of any number type, in units of the camera's `depth_scale`; color images
                (H, W, 3), 0 to 255. The keys are those in the configuration.

        Raises:
            InputError: An image's size is not that of the intrinsics, or its unit cannot be the configured one.
        """
        points = np.concatenate([view.points(images) for view in self._views])
        if len(points) == 0 and not self._warned:
            self._warned = True
            logger.warning(
                "No point of %s lies between near and far and in the crop: the cloud is all zeros.",
                ", ".join(f"'{camera.depth_key}'" for camera in self.config.cameras),
            )
        return sample_or_pad(points, self.config.num_points)


class _View:
    """One camera, with everything precomputed that does not depend on the image."""

    def __init__(self, camera: DepthCamera, crop):
        self.camera = camera
        self._crop = crop
        rays = pinhole_rays(camera.height, camera.width, *camera.intrinsics)
        self._rays = rays.reshape(camera.height, camera.width, 3)[:: camera.stride, :: camera.stride].reshape(-1, 3)
        signs = OPENCV_TO_OPENGL if camera.convention == "opengl" else np.ones(3)
        self._rotation, self._position = camera.pose[:3, :3] * signs, camera.pose[:3, 3]
        self._unit_checked = False

    def points(self, images: Mapping[str, NDArray]) -> NDArray[np.float32]:
        """(n, 3 or 6): points in the crop, with their colors if the camera has a color image."""
        camera = self.camera
        depth = images[camera.depth_key]
        if depth.shape != (camera.height, camera.width):
            raise InputError(
                f"'{camera.depth_key}': the image has {depth.shape} rows and columns, the intrinsics are for "
                f"{(camera.height, camera.width)}. Give the intrinsics of this image size."
            )
        depth = depth[:: camera.stride, :: camera.stride].reshape(-1)
        meters = depth.astype(np.float32) * np.float32(camera.depth_scale)
        if not self._unit_checked:
            self._check_unit(depth, meters)
        # NaN compares false with everything, so it is dropped like all other invalid depths.
        valid = (meters > 0) & (meters >= camera.near) & (meters <= camera.far)
        points, pixels = deproject(meters, valid, self._rays, self._rotation, self._position, self._crop)
        if camera.color_key is None:
            return points
        rows, columns = np.divmod(pixels, -(-camera.width // camera.stride))
        aligned = rows * camera.stride, columns * camera.stride
        return np.hstack([points, self._colors(images[camera.color_key], meters[pixels], self._rays[pixels], aligned)])

    def _colors(self, image: NDArray, depth: NDArray, rays: NDArray, aligned: tuple[NDArray, NDArray]) -> NDArray:
        """(n, 3) float32 color of each point: from its own pixel if the images are aligned, else from the pixel at
        which the color camera sees it; black if it does not."""
        camera = self.camera
        if camera.color_intrinsics is None:
            if image.shape[:2] != (camera.height, camera.width):
                raise InputError(
                    f"'{camera.color_key}': the image has {image.shape[:2]} rows and columns, the depth image "
                    f"{(camera.height, camera.width)}, so they are not aligned. Give color_intrinsics and "
                    "depth_to_color."
                )
            return image[aligned].astype(np.float32)
        pose = np.array(camera.depth_to_color, dtype=np.float64)
        seen = transform(depth[:, None] * rays, pose[:3, :3], pose[:3, 3])
        fx, fy, cx, cy = camera.color_intrinsics
        colors = np.zeros((len(seen), 3), dtype=np.float32)
        ahead = np.flatnonzero(seen[:, 2] > 0)
        x, y, z = seen[ahead].T
        column, row = np.rint(fx * x / z + cx), np.rint(fy * y / z + cy)
        inside = (column >= 0) & (column < image.shape[1]) & (row >= 0) & (row < image.shape[0])
        colors[ahead[inside]] = image[row[inside].astype(np.int64), column[inside].astype(np.int64)]
        return colors

    def _check_unit(self, depth: NDArray, meters: NDArray[np.float32]) -> None:
        """Check that the first image with valid depths is in the range of depth cameras.

        Raises:
            InputError: Meters are interpreted as millimeters, or vice versa.
        """
        shown = np.isfinite(meters) & (meters > 0)
        if not shown.any():
            return
        self._unit_checked = True
        key, scale = self.camera.depth_key, self.camera.depth_scale
        seen = meters[shown]
        if seen.max() < NEAREST_PICTURE and (depth[shown] % 1 != 0).any():
            raise InputError(
                f"'{key}': with depth_scale={scale} nothing is farther than {seen.max() * 1000:.1f} mm. The image "
                "seems to be in meters: set depth_scale=1."
            )
        if seen.mean() > FARTHEST_PICTURE:
            raise InputError(
                f"'{key}': with depth_scale={scale} the mean depth is {seen.mean():.0f} m. The image seems to be in "
                "millimeters: set depth_scale=0.001."
            )
