"""Reward models: one folder each, always configuration, modeling and processor."""

from lerobot.configs.rewards import RewardModelConfig

from lerobot_sdm.registration import register_choice


def register() -> None:
    """Make the reward models known to LeRobot's commands."""
    from lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward import ChunkRewardConfig

    register_choice(RewardModelConfig, "chunk_reward", ChunkRewardConfig)
