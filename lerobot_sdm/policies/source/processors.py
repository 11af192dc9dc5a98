"""Pre- and post-processing of policies trained from a source: its own, so that both use the same normalized actions."""

from collections.abc import Collection
from typing import Any

from lerobot.policies.factory import make_pre_post_processors
from lerobot.processor import PolicyAction, PolicyProcessorPipeline

from lerobot_sdm.policies.pipelines import check_pipelines
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.processors.normalization import Stats, unflattened
from lerobot_sdm.processors.observation_step import add_fitter

Processors = tuple[
    PolicyProcessorPipeline[dict[str, Any], dict[str, Any]],
    PolicyProcessorPipeline[PolicyAction, PolicyAction],
]


def take_statistics(source: SourcePolicy, features: Collection[str], statistics: Stats | None) -> None:
    """Replace a dataset's statistics of a policy's features by those of its source, in place.

    When a checkpoint is trained further (`--policy.path`), LeRobot normalizes by the dataset's statistics, but the
    source's frozen networks keep its units. LeRobot passes the same object to the policy and then to the processors.
    """
    if statistics is not None:
        known = unflattened(source.normalization())
        statistics.update({key: known[key] for key in features if key in known})


def make_student_processors(config: Any, dataset_stats: Stats | None = None) -> Processors:
    """Load the source's saved pipelines on the device of a student (`StudentConfig`); without a source, build new ones
    of its type, for which alone the statistics are used."""
    if config.source is None:
        return make_pre_post_processors(config.network_config, dataset_stats=dataset_stats)
    return saved_processors(config, config.source)


def saved_processors(config: Any, source: SourcePolicy) -> Processors:
    """Load the pipelines of a saved policy for the policy or reward model of a configuration, with its device and
    observations; add the check of observations that old policies lack."""
    check_pipelines(source.path, source.revision)
    before, after = make_pre_post_processors(
        config,
        pretrained_path=source.path,
        pretrained_revision=source.revision,
        preprocessor_overrides={"device_processor": {"device": config.device}},
        postprocessor_overrides={},
    )
    add_fitter(before, config.input_features)
    return before, after
