"""Pre- and post-processing of DP3: LeRobot's own steps, and one for the point cloud."""

from dataclasses import dataclass
from typing import Any

from lerobot.configs.types import PipelineFeatureType, PolicyFeature
from lerobot.processor import (
    ObservationProcessorStep,
    PolicyAction,
    PolicyProcessorPipeline,
    ProcessorStepRegistry,
)
from lerobot.processor.factory import make_default_policy_processor_steps, make_policy_processor_pipelines

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.incoming import as_tensor
from lerobot_sdm.policies.normalization import Stats, prepare_stats
from lerobot_sdm.policies.observation_step import ObservationFitterStep
from lerobot_sdm.policies.sizes import check_upright
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep


@ProcessorStepRegistry.register(name="point_cloud_processor")
@dataclass
class PointCloudProcessorStep(ObservationProcessorStep):
    """Bring a cloud to the key, the rank and the channels that the policy was trained with.

    A cloud with colour given to a policy without must lose its colour before normalisation: afterwards its six
    channels would not fit the three statistics.

    Args:
        channels: Leading channels to keep: 3 for xyz, 6 with colour.
    """

    channels: int = 3

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Clouds (..., N, C >= channels) under either known key become `observation.point_cloud`
        (..., N, channels); a single cloud (N, C), as a robot has it, gets a batch dimension."""
        observation = dict(observation)
        for key in POINT_CLOUD_KEYS:
            if key in observation:
                cloud = as_tensor(key, observation.pop(key))
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


def make_dp3_pre_post_processors(
    config: DP3Config, dataset_stats: Stats | None = None
) -> tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]],
    PolicyProcessorPipeline[PolicyAction, PolicyAction],
]:
    """Pipelines in LeRobot's order: rename, batch, depth, cloud, fit, device, normalise; and unnormalise, to the CPU.

    Args:
        config: Policy configuration.
        dataset_stats: Statistics of the training data; fitted in place by `prepare_stats`.
    """
    if dataset_stats is not None:
        prepare_stats(dataset_stats, config.cloud_channels, config.depth_to_cloud)
    steps = make_default_policy_processor_steps(config, dataset_stats)
    cloud = [PointCloudProcessorStep(channels=config.cloud_channels)]
    if config.depth_to_cloud is not None:
        cloud.insert(0, DepthToPointCloudStep.from_config(config.depth_to_cloud))
    fit = ObservationFitterStep(dict(config.input_features))
    return make_policy_processor_pipelines(
        input_steps=[steps.rename_observations, steps.add_batch_dim, *cloud, fit, steps.to_device, steps.normalize],
        output_steps=[steps.unnormalize, steps.to_cpu],
    )
