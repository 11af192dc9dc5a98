"""Pre- and post-processing of Adjoint Matching: the base's."""

from lerobot_sdm.policies.adjoint_matching.configuration_adjoint_matching import AdjointMatchingConfig
from lerobot_sdm.policies.source.processors import Processors, make_student_processors
from lerobot_sdm.processors.normalization import Stats


def make_adjoint_matching_pre_post_processors(
    config: AdjointMatchingConfig, dataset_stats: Stats | None = None
) -> Processors:
    """See `make_student_processors`."""
    return make_student_processors(config, dataset_stats)
