"""Pre- and post-processing of SDM: the teacher's own, so that both speak of the same normalised actions."""

from typing import Any

from lerobot.policies.factory import make_pre_post_processors
from lerobot.processor import PolicyAction, PolicyProcessorPipeline

from lerobot_sdm.policies.dp3.processor_dp3 import make_dp3_pre_post_processors
from lerobot_sdm.policies.normalization import Stats
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.teachers import WEIGHTS_FILE, teacher_file


def make_sdm_pre_post_processors(
    config: SDMConfig, dataset_stats: Stats | None = None
) -> tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]],
    PolicyProcessorPipeline[PolicyAction, PolicyAction],
]:
    """The teacher's saved pipelines on the student's device; without a teacher, new ones like DP3's.

    Args:
        config: Policy configuration.
        dataset_stats: Used only where there is no teacher.
    """
    if config.teacher_path is None:
        return make_dp3_pre_post_processors(config, dataset_stats)
    folder = teacher_file(config.teacher_path, WEIGHTS_FILE, config.teacher_revision).parent
    local = folder if (folder / "policy_preprocessor.json").is_file() else config.teacher_path
    return make_pre_post_processors(
        config,
        pretrained_path=str(local),
        pretrained_revision=config.teacher_revision,
        preprocessor_overrides={"device_processor": {"device": config.device}},
        postprocessor_overrides={},
    )
