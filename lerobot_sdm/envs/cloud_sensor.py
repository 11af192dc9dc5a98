"""Turn a MuJoCo scene into an observation's point cloud: image, frame, crop, farthest point sampling."""

from collections.abc import Callable, Collection

import mujoco
import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.clouds.geometry import deproject, inside_box, pixel_rays
from lerobot_sdm.envs.coordinate_frames import Frame
from lerobot_sdm.envs.depth_camera import GOAL, Picture, SceneCamera
from lerobot_sdm.envs.options import CloudOptions


class CloudSensor:
    """Makes clouds of one scene from one camera, in one frame.

    Args:
        model, camera, options, frame: Scene, camera, cloud options and coordinate frame.
        subsample: Subsamples the points in the crop to a cloud with the given number of rows.
        arm: Bodies of the scene that `show_arm=False` excludes.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        camera: SceneCamera,
        options: CloudOptions,
        frame: Frame,
        subsample: Callable[[NDArray[np.float32], int], NDArray[np.float32]],
        arm: Collection[str],
    ):
        self._camera = camera
        self._options = options
        self._frame = frame
        self._subsample = subsample
        self._crop = options.crop or frame.crop
        self._camera_id = model.camera(options.camera).id
        size, fovy = options.camera_size, float(model.cam_fovy[self._camera_id])
        self._rays = pixel_rays(size, size, fovy, frame.pixel_offset)
        bodies = [body for body in range(model.nbody) if not options.show_arm and model.body(body).name in arm]
        self._left_out = np.flatnonzero(np.isin(model.geom_bodyid, bodies))

    def look(
        self, data: mujoco.MjData, *, image: bool = False, goal: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        """Observe the scene.

        Args:
            data: State of the scene, with positions up to date.
            image: Whether to return the image that the cloud is made from, too.
            goal: (3,) world position to mark, or None.

        Returns:
            The cloud (num_points, 3 or 6), in farthest-point order unless `subsample` has another, colors 0 to 255
            from the pixel each point came from, and the image (H, W, 3), upright, or None.
        """
        points, _, picture = self.points(data, image=image, goal=goal)
        cloud = self._subsample(points, self._options.num_points)
        return cloud, upright(picture.color, data.cam_xmat[self._camera_id].reshape(3, 3)) if image else None

    def points(
        self, data: mujoco.MjData, *, image: bool = False, goal: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], Picture]:
        """All points of the view, before subsampling.

        Args:
            data, image, goal: See `look`.

        Returns:
            The points (n, 3 or 6), what each lies on (n,), as in `Picture.geoms`, and the image.
        """
        options = self._options
        picture = self._camera.take(
            data,
            options.camera,
            options.camera_size,
            color=image or options.use_color,
            goal=goal,
            markers=options.show_markers,
        )
        camera_rotation = data.cam_xmat[self._camera_id].reshape(3, 3)
        rotation = self._frame.rotation @ camera_rotation
        translation = self._frame.rotation @ data.cam_xpos[self._camera_id] + self._frame.translation

        depth, geoms = picture.depth.reshape(-1), picture.geoms.reshape(-1)
        valid = np.isfinite(depth) & ~np.isin(geoms, self._left_out)
        points, pixels = deproject(depth, valid, self._rays, rotation, translation, None)
        # A goal may lie on the table or in a hole, below the box.
        stays = inside_box(points, *self._crop) | (geoms[pixels] == GOAL)
        points, pixels = points[stays], pixels[stays]
        if self._frame.origin is not None:
            points -= data.body(self._frame.origin).xpos.astype(points.dtype)
        if options.use_color:
            points = np.hstack([points, picture.color.reshape(-1, 3)[pixels].astype(np.float32)])
        return points, geoms[pixels], picture


def upright(image: NDArray[np.uint8], camera_rotation: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Rotate an image by 180° if its camera hangs upside down.

    Args:
        image: (H, W, 3).
        camera_rotation: (3, 3) camera to world; its second column is the camera's up direction.
    """
    return np.ascontiguousarray(image[::-1, ::-1] if camera_rotation[2, 1] < 0 else image)
