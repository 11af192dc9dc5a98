"""DexArt's imagined robot: points on the hand, computed from its joints, that are added to the camera's cloud."""

from dataclasses import dataclass
from typing import Any

import torch
from lerobot.configs.types import PipelineFeatureType, PolicyFeature
from lerobot.processor import ObservationProcessorStep, ProcessorStepRegistry

from lerobot_sdm.clouds import IMAGINED_ROBOT, POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.incoming import as_tensor


@ProcessorStepRegistry.register(name="imagined_robot_processor")
@dataclass
class ImaginedRobotProcessorStep(ObservationProcessorStep):
    """Append the imagined robot's points to the cloud, as DP3's encoder does for DexArt.

    The imagined points have xyz and four columns that label the parts of the scene. They are cut to the number of
    columns of the cloud, so in a cloud with color the first labels take the place of colors, as in the released code.
    This step goes after the one that cuts the cloud to the policy's channels.
    """

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Cloud (..., N, C) and imagined robot (..., M, 7) become a cloud (..., N + M, C)."""
        observation = dict(observation)
        cloud, robot = observation.get(POINT_CLOUD), observation.pop(IMAGINED_ROBOT, None)
        if cloud is None or robot is None:
            missing = POINT_CLOUD if cloud is None else IMAGINED_ROBOT
            raise InputError(f"'{missing}' is missing: this policy was trained with an imagined robot in its clouds.")
        robot = as_tensor(IMAGINED_ROBOT, robot)
        if robot.ndim == 2:
            robot = robot.unsqueeze(0)
        observation[POINT_CLOUD] = torch.cat([cloud, robot[..., : cloud.shape[-1]].to(cloud)], dim=-2)
        return observation

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        observations = dict(features.get(PipelineFeatureType.OBSERVATION, {}))
        robot = observations.pop(IMAGINED_ROBOT, None)
        if robot is not None and POINT_CLOUD in observations:
            cloud = observations[POINT_CLOUD]
            shape = (cloud.shape[0] + robot.shape[0], cloud.shape[1])
            observations[POINT_CLOUD] = PolicyFeature(type=cloud.type, shape=shape)
        return {**features, PipelineFeatureType.OBSERVATION: observations}
