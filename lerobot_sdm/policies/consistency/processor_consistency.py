"""Pre- and post-processing of Consistency Policy: the teacher's own, so that both speak of the same actions."""

from lerobot_sdm.policies.consistency.configuration_consistency import ConsistencyConfig
from lerobot_sdm.policies.distilled_processor import Processors, teacher_processors
from lerobot_sdm.policies.edm.processor_edm import make_edm_pre_post_processors
from lerobot_sdm.policies.normalization import Stats


def make_consistency_pre_post_processors(config: ConsistencyConfig, dataset_stats: Stats | None = None) -> Processors:
    """The teacher's saved pipelines on the student's device; without a teacher, new ones like EDM's.

    Args:
        config: Policy configuration.
        dataset_stats: Used only where there is no teacher.
    """
    if config.teacher_path is None:
        return make_edm_pre_post_processors(config, dataset_stats)
    return teacher_processors(config)
