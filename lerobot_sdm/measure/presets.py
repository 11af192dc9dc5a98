"""Sizes of the quickstart, and what single tasks need besides. The one place for such numbers."""

from dataclasses import replace

from lerobot_sdm.errors import unknown_name
from lerobot_sdm.measure.settings import RunSettings, Training

# `num_workers=0`: the cached reader is faster than handing batches from one process to another.
OPTIONS = {"num_workers": 0, "log_freq": 100}

# Recording ends soon after success: the rest of an episode would only show the hand at rest.
RECORD = {"workers": 2, "stop_after_success": 10}

# For two CPU cores: networks of under a million weights, small clouds.
SMALL = RunSettings(
    task="detour",
    episodes=10,
    record=RECORD,
    teacher=Training(
        steps=2000,
        batch_size=64,
        save_freq=500,
        policy={
            "down_dims": [32, 64, 128],
            "blocks_per_level": 1,
            "encoder_hidden_dims": [32, 64, 128],
            "optimizer_lr": 1e-3,
            "scheduler_warmup_steps": 100,
        },
        options=OPTIONS,
    ),
    student=Training(
        steps=2000,
        batch_size=64,
        save_freq=500,
        policy={"warmup_steps": 1500, "generator_lr": 5e-4, "pair_reuse": 8},
        options=OPTIONS,
    ),
)

# Simple DP3 as published, for a GPU or a patient CPU.
SIMPLE = replace(
    SMALL,
    # As many points as DP3 has, of a picture that has that many on small things.
    env={"num_points": 512, "camera_size": 256},
    teacher=Training(
        steps=20_000,
        batch_size=128,
        save_freq=2000,
        policy={"down_dims": [128, 256, 384], "blocks_per_level": 1},
        options=OPTIONS,
    ),
    student=Training(steps=10_000, batch_size=128, save_freq=2000, policy={"pair_reuse": 8}, options=OPTIONS),
)

# DP3 as published, for a GPU.
PAPER = replace(
    SIMPLE,
    teacher=Training(steps=60_000, batch_size=128, save_freq=5000, options=OPTIONS),
    student=Training(steps=20_000, batch_size=128, save_freq=5000, policy={"pair_reuse": 8}, options=OPTIONS),
)

SIZES = {"small": SMALL, "simple": SIMPLE, "paper": PAPER}


def for_detour(config: RunSettings) -> RunSettings:
    """What the two-way task needs: every start shown on both sides, and chunks that hold the whole decision.

    With chunks of 8 actions the read-out of an early version of this task still succeeded in 18 of 20 episodes: it
    was driven off the middle by chance and then saw on which side it was.
    """
    policy = config.teacher.policy | {"horizon": 32, "n_action_steps": 28}
    student = config.student.policy | {"warmup_steps": 5000}
    if "generator_lr" in student:
        student |= {"generator_lr": 2 * student["generator_lr"]}
    return replace(
        config,
        episodes=20,
        env=config.env | {"num_points": 128, "episode_length": 120},
        teacher=replace(config.teacher, policy=policy),
        # Two ways differ in everything, where one way needs only small corrections: more and larger steps.
        student=replace(config.student, steps=5500, policy=student),
    )


def _wide_enough(teacher: Training) -> Training:
    """The training with the smallest networks twice as wide; others are wide enough for a hand."""
    wide = {"down_dims": [64, 128, 256]} if teacher.policy.get("down_dims") == [32, 64, 128] else {}
    return replace(teacher, policy=teacher.policy | wide)


def for_adroit(config: RunSettings) -> RunSettings:
    """What a hand of 24 joints needs: DP3's demonstrations at full length, and networks wider than an arm's."""
    return replace(
        config,
        env={"num_points": min(512, 2 * config.env["num_points"])} if "num_points" in config.env else {},
        record={"workers": 2},
        other_rules={"ever": {"success_rule": "dp3_ever"}},
        teacher=_wide_enough(config.teacher),
    )


def for_dexart(config: RunSettings) -> RunSettings:
    """What an arm with a hand needs: many objects shown, the hand's own points in the cloud, and networks wider than an
    arm's; and a second evaluation, on objects that no demonstration shows."""
    return replace(
        config,
        env={"imagin_robot": "joined"}
        | ({"num_points": max(256, config.env["num_points"])} if "num_points" in config.env else {}),
        episodes=100,
        other_rules={"unseen": {"objects": "unseen"}},
        # Clouds are most of what a step costs, and these are large: rather more steps than more clouds in each.
        teacher=replace(_wide_enough(config.teacher), batch_size=config.teacher.batch_size // 2),
    )


FAMILIES = {"adroit": for_adroit, "dexart": for_dexart}
"""Environment types that need other settings than the preset's: type -> change."""

TASKS = {"metaworld_pc/detour": for_detour}
"""Tasks that do: type and name -> change."""


def preset(size: str, task: str, env_type: str = SMALL.env_type) -> RunSettings:
    """Settings for a task at a size.

    Raises:
        InputError: If there is no such size.
    """
    if size not in SIZES:
        raise unknown_name("--size", size, SIZES)
    return adapted(SIZES[size], task, env_type)


def adapted(config: RunSettings, task: str, env_type: str) -> RunSettings:
    """A size's settings with what a task and its family need besides."""
    config = replace(config, task=task, env_type=env_type)
    for change in (FAMILIES.get(env_type), TASKS.get(f"{env_type}/{task}")):
        if change is not None:
            config = change(config)
    return config
