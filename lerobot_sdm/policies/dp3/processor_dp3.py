"""Pre- and post-processing of DP3: LeRobot's own steps, and one for clouds, which does not touch other observations."""

from collections.abc import Collection
from typing import Any

from lerobot.processor import PolicyAction, PolicyProcessorPipeline, ProcessorStep
from lerobot.processor.factory import make_default_policy_processor_steps, make_policy_processor_pipelines

from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep
from lerobot_sdm.processors.normalization import Stats, check_statistics, prepare_stats
from lerobot_sdm.processors.observation_step import ObservationFitterStep
from lerobot_sdm.processors.point_cloud_step import PointCloudProcessorStep

RECOMPUTE = "`lerobot-sdm edit-dataset FOLDER --recompute-stats --root=NEW` recomputes those of numeric columns."


def make_dp3_pre_post_processors(
    config: DP3Config, dataset_stats: Stats | None = None, unnormalized: Collection[str] = ()
) -> tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]],
    PolicyProcessorPipeline[PolicyAction, PolicyAction],
]:
    """Build the pipelines, in LeRobot's order: rename, batch, depth, cloud, fit, device, normalize; unnormalize, CPU.

    Args:
        config: Policy configuration.
        dataset_stats: Statistics of the training data; prepared in place by `prepare_stats`.
        unnormalized: Features that need no statistics because they are not normalized.

    Raises:
        InputError: A statistic is missing, not finite, or does not match the shape of its feature.
    """
    if dataset_stats is not None:
        prepare_stats(dataset_stats, config.cloud_channels, config.depth_to_cloud)
        features = {**config.input_features, **config.output_features}
        features = {key: feature for key, feature in features.items() if key not in unnormalized}
        check_statistics(dataset_stats, features, config.normalization_mapping, "the dataset's statistics", RECOMPUTE)
    steps = make_default_policy_processor_steps(config, dataset_stats)
    for step in (steps.normalize, steps.unnormalize):
        step.features = {key: feature for key, feature in step.features.items() if key not in unnormalized}
    cloud: list[ProcessorStep] = [PointCloudProcessorStep(channels=config.cloud_channels)]
    if config.depth_to_cloud is not None:
        cloud.insert(0, DepthToPointCloudStep.from_config(config.depth_to_cloud))
    fit = ObservationFitterStep(dict(config.input_features))
    return make_policy_processor_pipelines(
        input_steps=[steps.rename_observations, steps.add_batch_dim, *cloud, fit, steps.to_device, steps.normalize],
        output_steps=[steps.unnormalize, steps.to_cpu],
    )
