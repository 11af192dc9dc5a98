"""From a MuJoCo scene to the point cloud of an observation: picture, frame, crop, farthest point sampling."""

from collections.abc import Callable

import mujoco
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.clouds.geometry import deproject, pixel_rays, sample_or_pad
from lerobot_sdm.envs.depth_camera import DepthCamera
from lerobot_sdm.envs.frames import Frame
from lerobot_sdm.envs.options import CloudOptions


class CloudSensor:
    """Looks at one scene through one camera and returns clouds in one frame.

    Args:
        model, camera, options, frame: What looks at what, and how.
        thin_out: Makes a cloud of so many rows of all points in the crop.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        camera: DepthCamera,
        options: CloudOptions,
        frame: Frame,
        thin_out: Callable[[NDArray[np.float32], int], NDArray[np.float32]] = sample_or_pad,
    ):
        self._camera = camera
        self._options = options
        self._frame = frame
        self._thin_out = thin_out
        self._crop = options.crop or frame.crop
        self._camera_id = model.camera(options.camera).id
        size, fovy = options.camera_size, float(model.cam_fovy[self._camera_id])
        self._rays = pixel_rays(size, size, fovy, frame.pixel_offset)

    def look(
        self, data: mujoco.MjData, *, image: bool = False, goal: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Observe the scene.

        Args:
            data: State of the scene, with positions up to date.
            image: Whether to return the picture the cloud is made of, too.
            goal: (3,) world position to mark, or None.

        Returns:
            The cloud (num_points, 3 or 6), in farthest-point order unless `thin_out` has another, colours 0 to 255
            from the pixel each point came from, and the picture (H, W, 3), upright, or None.
        """
        options = self._options
        picture = self._camera.take(
            data, options.camera, options.camera_size, colour=image or options.use_color, goal=goal
        )
        camera_rotation = data.cam_xmat[self._camera_id].reshape(3, 3)
        rotation = self._frame.rotation @ camera_rotation
        translation = self._frame.rotation @ data.cam_xpos[self._camera_id] + self._frame.translation

        depth = picture.depth.reshape(-1)
        points, pixels = deproject(depth, np.isfinite(depth), self._rays, rotation, translation, self._crop)
        if options.use_color:
            colours = picture.colour.reshape(-1, 3)[pixels].astype(np.float32)
            points = np.hstack([points, colours])
        cloud = self._thin_out(points, options.num_points)
        return cloud, upright(picture.colour, camera_rotation) if image else None


def upright(image: NDArray[np.uint8], camera_rotation: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Turn a picture by half a turn if the camera that took it hangs upside down.

    Args:
        image: (H, W, 3).
        camera_rotation: (3, 3) camera to world; its second column is where the camera's up points.
    """
    return np.ascontiguousarray(image[::-1, ::-1] if camera_rotation[2, 1] < 0 else image)
