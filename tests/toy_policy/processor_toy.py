"""Pre- and post-processing of the toy policy: DP3's."""

from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.processors.normalization import Stats
from toy_policy.configuration_toy import ToyConfig


def make_toy_pre_post_processors(config: ToyConfig, dataset_stats: Stats | None = None):
    """See `make_dp3_pre_post_processors`."""
    return make_dp3_pre_post_processors(config, dataset_stats)
