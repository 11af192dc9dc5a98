"""Pre- and post-processing of Consistency Policy: the teacher's."""

from lerobot_sdm.policies.consistency.configuration_consistency import ConsistencyConfig
from lerobot_sdm.policies.source.processors import Processors, make_student_processors
from lerobot_sdm.processors.normalization import Stats


def make_consistency_pre_post_processors(config: ConsistencyConfig, dataset_stats: Stats | None = None) -> Processors:
    """See `make_student_processors`."""
    return make_student_processors(config, dataset_stats)
