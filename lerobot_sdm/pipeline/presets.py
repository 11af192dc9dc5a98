"""Sizes of the quickstart, and what single tasks need besides. The one place for such numbers."""

from dataclasses import replace

from lerobot_sdm.errors import unknown_name
from lerobot_sdm.pipeline.config import PipelineConfig, Training

# `num_workers=0`: the cached reader is faster than handing batches from one process to another.
OPTIONS = {"num_workers": 0, "log_freq": 100}

# For two CPU cores: networks of about a million weights, small clouds, short chunks.
SMALL = PipelineConfig(
    task="detour",
    env={"num_points": 256, "camera_size": 84},
    teacher=Training(
        steps=3000,
        batch_size=64,
        save_freq=500,
        policy={"down_dims": [64, 128], "blocks_per_level": 1, "horizon": 16, "n_action_steps": 8},
        options=OPTIONS,
    ),
    student=Training(steps=2000, batch_size=64, save_freq=500, options=OPTIONS),
)

# Simple DP3 as published, for a GPU or a patient CPU.
SIMPLE = replace(
    SMALL,
    env={"num_points": 512, "camera_size": 128},
    teacher=Training(
        steps=20_000,
        batch_size=128,
        save_freq=2000,
        policy={"down_dims": [128, 256, 384], "blocks_per_level": 1},
        options=OPTIONS,
    ),
    student=Training(steps=10_000, batch_size=128, save_freq=2000, options=OPTIONS),
)

# DP3 as published, for a GPU.
PAPER = replace(
    SIMPLE,
    teacher=Training(steps=60_000, batch_size=128, save_freq=5000, options=OPTIONS),
    student=Training(steps=20_000, batch_size=128, save_freq=5000, options=OPTIONS),
)

SIZES = {"small": SMALL, "simple": SIMPLE, "paper": PAPER}


def preset(size: str, task: str) -> PipelineConfig:
    """Settings for a task at a size.

    Raises:
        InputError: If there is no such size.
    """
    if size not in SIZES:
        raise unknown_name("--size", size, SIZES)
    return replace(SIZES[size], task=task)
