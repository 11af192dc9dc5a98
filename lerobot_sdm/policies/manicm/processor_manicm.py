"""Pre- and post-processing of ManiCM: the teacher's."""

from lerobot_sdm.policies.manicm.configuration_manicm import ManiCMConfig
from lerobot_sdm.policies.source.processors import Processors, make_student_processors
from lerobot_sdm.processors.normalization import Stats


def make_manicm_pre_post_processors(config: ManiCMConfig, dataset_stats: Stats | None = None) -> Processors:
    """See `make_student_processors`."""
    return make_student_processors(config, dataset_stats)
