"""Pre- and post-processing of distilled policies: the teacher's own, so that both speak of the same actions."""

from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import make_pre_post_processors
from lerobot.processor import PolicyAction, PolicyProcessorPipeline

from lerobot_sdm.policies.distilled_config import DistilledConfig
from lerobot_sdm.policies.normalization import Stats
from lerobot_sdm.policies.observation_step import add_fitter
from lerobot_sdm.policies.pipelines import check_pipelines

Processors = tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]],
    PolicyProcessorPipeline[PolicyAction, PolicyAction],
]


def make_distilled_processors(config: DistilledConfig, dataset_stats: Stats | None = None) -> Processors:
    """The teacher's saved pipelines on the student's device; without a teacher, new ones of its type.

    Args:
        config: Policy configuration.
        dataset_stats: Used only where there is no teacher.
    """
    if config.teacher_path is None:
        return make_pre_post_processors(config.network_config, dataset_stats=dataset_stats)
    return teacher_processors(config)


def teacher_processors(config: PreTrainedConfig) -> Processors:
    """The saved pipelines of the teacher at `config.teacher_path`, on the device of the student with this
    configuration."""
    return saved_processors(config, config.teacher_path, config.teacher_revision)


def saved_processors(config: PreTrainedConfig, path: str, revision: str | None = None) -> Processors:
    """The pipelines of another policy, from its folder or Hub repo, on the device of the policy with this
    configuration, which look at observations first, however old the other policy is."""
    check_pipelines(path, revision)
    before, behind = make_pre_post_processors(
        config,
        pretrained_path=path,
        pretrained_revision=revision,
        preprocessor_overrides={"device_processor": {"device": config.device}},
        postprocessor_overrides={},
    )
    add_fitter(before, config.input_features)
    return before, behind
