"""Pre- and post-processing of SDM: the teacher's."""

from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.policies.source.processors import Processors, make_student_processors
from lerobot_sdm.processors.normalization import Stats


def make_sdm_pre_post_processors(config: SDMConfig, dataset_stats: Stats | None = None) -> Processors:
    """See `make_student_processors`."""
    return make_student_processors(config, dataset_stats)
