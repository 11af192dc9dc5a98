"""Pre- and post-processing of DiffTORI: the base's own, so that both use the same normalized actions."""

from lerobot_sdm.policies.difftori.configuration_difftori import DiffTORIConfig
from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.policies.source.processors import Processors, saved_processors
from lerobot_sdm.processors.normalization import Stats


def make_difftori_pre_post_processors(config: DiffTORIConfig, dataset_stats: Stats | None = None) -> Processors:
    """Load the base's saved pipelines on this policy's device; without a base, build new ones like DP3's, for which
    alone the statistics are used."""
    if config.source is None:
        return make_dp3_pre_post_processors(config, dataset_stats)
    return saved_processors(config, config.source)
