"""Pre- and post-processing of ManiCM: its teacher's."""

from lerobot_sdm.policies.distilled_processor import Processors, make_distilled_processors
from lerobot_sdm.policies.manicm.configuration_manicm import ManiCMConfig
from lerobot_sdm.policies.normalization import Stats


def make_manicm_pre_post_processors(config: ManiCMConfig, dataset_stats: Stats | None = None) -> Processors:
    """See `make_distilled_processors`."""
    return make_distilled_processors(config, dataset_stats)
