"""Pre- and post-processing of Adjoint Matching: its base's."""

from lerobot_sdm.policies.adjoint_matching.configuration_adjoint_matching import AdjointMatchingConfig
from lerobot_sdm.policies.distilled_processor import Processors, make_distilled_processors
from lerobot_sdm.policies.normalization import Stats


def make_adjoint_matching_pre_post_processors(
    config: AdjointMatchingConfig, dataset_stats: Stats | None = None
) -> Processors:
    """See `make_distilled_processors`."""
    return make_distilled_processors(config, dataset_stats)
