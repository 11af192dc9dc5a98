"""Pre- and post-processing of SDM: its teacher's."""

from lerobot_sdm.policies.distilled_processor import Processors, make_distilled_processors
from lerobot_sdm.policies.normalization import Stats
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig


def make_sdm_pre_post_processors(config: SDMConfig, dataset_stats: Stats | None = None) -> Processors:
    """See `make_distilled_processors`."""
    return make_distilled_processors(config, dataset_stats)
