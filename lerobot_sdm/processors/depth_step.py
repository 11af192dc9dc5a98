"""The processor step `depth_to_point_cloud`: depth images of a batch, a robot or an environment to clouds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import draccus
import numpy as np
import torch
from lerobot.configs.types import FeatureType, PipelineFeatureType, PolicyFeature
from lerobot.processor import ObservationProcessorStep, ProcessorStepRegistry
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS, ROBOT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import Corner, DepthCamera, DepthToCloudConfig, depth_config


@ProcessorStepRegistry.register(name="depth_to_point_cloud")
@dataclass
class DepthToPointCloudStep(ObservationProcessorStep):
    """Convert depth images to `observation.point_cloud`; observations that already have a cloud do not change.

    So a saved policy runs on a robot with depth cameras, and can be trained on datasets of depth images or clouds.
    The step goes after renaming and before normalization; it works with and without a batch dimension.

    Args:
        cameras: See `DepthToCloudConfig`; plain dictionaries, as in a saved pipeline, are accepted.
        crop: See `DepthToCloudConfig`.
        num_points: See `DepthToCloudConfig`.

    Raises:
        InputError: A value is invalid.
    """

    cameras: Sequence[DepthCamera | dict[str, Any]]
    crop: tuple[Corner, Corner] | None = None
    num_points: int = 1024
    config: DepthToCloudConfig = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.config = depth_config({"cameras": self.cameras, "crop": self.crop, "num_points": self.num_points})
        self._to_cloud: Any = None

    @classmethod
    def from_config(cls, config: DepthToCloudConfig) -> "DepthToPointCloudStep":
        return cls(config.cameras, config.crop, config.num_points)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Replace depth images by `observation.point_cloud` (..., num_points, 3 or 6) float32 on their device.

        Args:
            observation: Depth images (..., 1, H, W), (..., H, W, 1) or (..., H, W) of any number type, color images
                (..., 3, H, W) or (..., H, W, 3), uint8 or floats of 0 to 1; tensors or arrays. The leading dimensions
                must be the same for all.

        Raises:
            InputError: An image is missing or does not fit its camera.
        """
        if any(key in observation for key in (*POINT_CLOUD_KEYS, ROBOT_CLOUD)):
            return observation
        frames, leading = self._frames(observation)
        if self._to_cloud is None:
            # Imports the compiler for the sampling, which training on clouds does not need.
            from lerobot_sdm.processors.depth_to_cloud import DepthToCloud

            self._to_cloud = DepthToCloud(self.config)
        if len(frames) == 1:
            clouds = [self._to_cloud(frames[0])]
        else:
            # The sampling releases the GIL.
            with ThreadPoolExecutor(min(len(frames), torch.get_num_threads())) as pool:
                clouds = list(pool.map(self._to_cloud, frames))
        cloud = torch.from_numpy(np.stack(clouds)).reshape(*leading, self.config.num_points, self.config.channels)
        device = getattr(observation[self.config.cameras[0].depth_key], "device", None)
        consumed = {camera.depth_key for camera in self.config.cameras}
        kept = {key: value for key, value in observation.items() if key not in consumed}
        return {**kept, POINT_CLOUD: cloud.to(device)}

    def _frames(self, observation: dict[str, Any]) -> tuple[list[dict[str, np.ndarray]], tuple[int, ...]]:
        """The images of each frame, depth (H, W) and color (H, W, 3), and the leading dimensions."""
        stacks, leading = {}, {}
        for camera in self.config.cameras:
            for key in filter(None, (camera.depth_key, camera.color_key)):
                if key not in observation:
                    raise InputError(
                        f"depth_to_point_cloud: no '{key}' among the observations ({', '.join(observation)}). "
                        "Rename one with --rename_map, or fix the camera's key."
                    )
            stacks[camera.depth_key], leading[camera.depth_key] = _depth_frames(observation[camera.depth_key], camera)
            if camera.color_key is not None:
                color = _color_frames(observation[camera.color_key], camera.color_key)
                stacks[camera.color_key], leading[camera.color_key] = color
        if len(set(leading.values())) > 1:
            raise InputError(f"depth_to_point_cloud: the images differ in their leading dimensions: {leading}.")
        count = len(next(iter(stacks.values())))
        return [{key: stack[i] for key, stack in stacks.items()} for i in range(count)], next(iter(leading.values()))

    def get_config(self) -> dict[str, Any]:
        return draccus.encode(self.config)

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        observations = dict(features.get(PipelineFeatureType.OBSERVATION, {}))
        if not any(key in observations for key in POINT_CLOUD_KEYS):
            for camera in self.config.cameras:
                observations.pop(camera.depth_key, None)
            shape = (self.config.num_points, self.config.channels)
            observations[POINT_CLOUD] = PolicyFeature(type=FeatureType.STATE, shape=shape)
        return {**features, PipelineFeatureType.OBSERVATION: observations}


def _depth_frames(value: Tensor | np.ndarray, camera: DepthCamera) -> tuple[np.ndarray, tuple[int, ...]]:
    """(F, H, W) in the image's own number type, and the leading dimensions that F stands for."""
    images = _array(value)
    size = camera.height, camera.width
    is_color = False
    if images.shape[-3:] == (1, *size):
        images = images[..., 0, :, :]
    elif images.shape[-3:] == (*size, 1):
        images = images[..., 0]
    else:
        is_color = images.ndim > 3 and images.shape[-3] == 3
    if images.shape[-2:] != size or is_color:
        raise InputError(
            f"'{camera.depth_key}': shape {tuple(value.shape)} is not (..., 1, {camera.height}, {camera.width}), the "
            "size that the intrinsics are for. Name a depth image, and give the intrinsics of its size."
        )
    return images.reshape(-1, *size), images.shape[:-2]


def _color_frames(value: Tensor | np.ndarray, key: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """(F, H, W, 3), 0 to 255, and the leading dimensions that F stands for."""
    images = _array(value)
    if images.ndim >= 3 and images.shape[-3] == 3:
        images = np.moveaxis(images, -3, -1)
    if images.ndim < 3 or images.shape[-1] != 3:
        raise InputError(f"'{key}': shape {tuple(value.shape)} is no color image (..., 3, H, W) or (..., H, W, 3).")
    if images.dtype.kind == "f":
        # LeRobot's images are n / 255.
        images = np.rint(images * 255)
    return images.reshape(-1, *images.shape[-3:]), images.shape[:-3]


def _array(value: Tensor | np.ndarray) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
