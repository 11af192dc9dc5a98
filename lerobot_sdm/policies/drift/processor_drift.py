"""Pre- and post-processing of the drifting policy: DP3's, whose cloud step does not touch other observations."""

from typing import Any

from lerobot.processor import PolicyAction, PolicyProcessorPipeline

from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.policies.drift.configuration_drift import DriftConfig
from lerobot_sdm.processors.normalization import Stats


def make_drift_pre_post_processors(
    config: DriftConfig, dataset_stats: Stats | None = None
) -> tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]],
    PolicyProcessorPipeline[PolicyAction, PolicyAction],
]:
    """Build the pipelines, in LeRobot's order; see `make_dp3_pre_post_processors`.

    Args:
        config: Policy configuration.
        dataset_stats: Statistics of the training data; prepared in place by `prepare_stats`.
    """
    return make_dp3_pre_post_processors(config, dataset_stats)
