"""Reward models of policies that tests have trained: with random weights, saved as `lerobot-train` saves them."""

from pathlib import Path

import torch
from lerobot.rewards import make_reward_model, make_reward_pre_post_processors

from lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward import ChunkRewardConfig


def reward_config(base: Path | str, **fields) -> ChunkRewardConfig:
    """A small one, for the chunks of the policy in that folder."""
    return ChunkRewardConfig(base_path=str(base), device="cpu", hidden_dims=(8,), ensemble=2, **fields)


def save_reward_model(base: Path, folder: Path, **fields) -> Path:
    """Write a reward model of the policy in `base`; returns `folder`."""
    config = reward_config(base, **fields)
    torch.manual_seed(0)
    make_reward_model(config).save_pretrained(folder)
    for pipeline in make_reward_pre_post_processors(config):
        pipeline.save_pretrained(folder)
    return folder


def reward_beside(base: Path) -> Path:
    """A reward model beside the policy's own folder, made once."""
    folder = base.parent / "reward"
    return folder if folder.exists() else save_reward_model(base, folder)
