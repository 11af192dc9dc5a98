"""Pre- and post-processing of the reward model: those of the policy whose chunks it judges."""

from lerobot_sdm.policies.source.processors import Processors, saved_processors
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.processors.normalization import Stats
from lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward import ChunkRewardConfig


def make_chunk_reward_pre_post_processors(config: ChunkRewardConfig, dataset_stats: Stats | None = None) -> Processors:
    """Load the policy's saved pipelines; a resumed run and a saved model have them next to their weights.

    The statistics are not used, because the model must normalize actions exactly like the policy.
    """
    if config.pretrained_path is not None:
        return saved_processors(config, SourcePolicy(str(config.pretrained_path), config.pretrained_revision))
    return saved_processors(config, config.source)
