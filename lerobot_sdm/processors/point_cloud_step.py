"""The processor step that converts a cloud to the form that a policy was trained with."""

from dataclasses import dataclass
from typing import Any

from lerobot.configs.types import PipelineFeatureType, PolicyFeature
from lerobot.processor import ObservationProcessorStep, ProcessorStepRegistry

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS, ROBOT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.incoming import as_tensor
from lerobot_sdm.processors.sizes import MOST_CHANNELS, check_upright


@ProcessorStepRegistry.register(name="point_cloud_processor")
@dataclass
class PointCloudProcessorStep(ObservationProcessorStep):
    """Convert a cloud to the key, rank and channels that the policy was trained with.

    For a policy without color, the color of a cloud must be dropped before normalization, because its six channels
    would not match the three statistics.

    Args:
        channels: Leading channels to keep: 3 for xyz, 6 with color.
    """

    channels: int = 3

    def __post_init__(self) -> None:
        if not isinstance(self.channels, int) or not 1 <= self.channels <= MOST_CHANNELS:
            raise InputError(f"point_cloud_processor: channels={self.channels!r}: must lie in 1 ... {MOST_CHANNELS}.")

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Clouds (..., N, C >= channels) under either known key become `observation.point_cloud`
        (..., N, channels); a single cloud (N, C), as from a robot, gets a batch dimension. So do clouds
        (..., 1, N, C) that LeRobot's loops passed on as an image."""
        observation = dict(observation)
        for key in (*POINT_CLOUD_KEYS, ROBOT_CLOUD):
            if key in observation:
                cloud = as_tensor(key, observation.pop(key))
                if key == ROBOT_CLOUD and cloud.ndim > 2 and cloud.shape[-3] == 1:
                    cloud = cloud.squeeze(-3)
                check_upright(key, tuple(cloud.shape), "the observation")
                if cloud.ndim < 2 or cloud.shape[-1] < self.channels:
                    raise InputError(
                        f"'{key}' has shape {tuple(cloud.shape)} in the observation and (points, {self.channels}) in "
                        "the checkpoint. Give a cloud with the channels that the policy was trained with."
                    )
                cloud = cloud[..., : self.channels]
                observation[POINT_CLOUD] = cloud.unsqueeze(0) if cloud.ndim == 2 else cloud
        return observation

    def get_config(self) -> dict[str, Any]:
        return {"channels": self.channels}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        observations = dict(features.get(PipelineFeatureType.OBSERVATION, {}))
        for key in POINT_CLOUD_KEYS:
            if key in observations:
                cloud = observations.pop(key)
                observations[POINT_CLOUD] = PolicyFeature(type=cloud.type, shape=(cloud.shape[0], self.channels))
        return {**features, PipelineFeatureType.OBSERVATION: observations}
