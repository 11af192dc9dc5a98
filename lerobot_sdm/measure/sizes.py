"""The one place for amounts: demonstrations, networks and trainings of each size, and what single tasks need on top."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lerobot_sdm.errors import check_known
from lerobot_sdm.measure.settings import Flags, RunSettings, Training
from lerobot_sdm.measure.suites import SuiteTask
from lerobot_sdm.nets.backbone_settings import FIELDS as BACKBONE_FIELDS

# `num_workers=0`: the cached reader is faster than handing batches from one process to another.
OPTIONS = {"num_workers": 0, "log_freq": 100}


DP3_DOWN_DIMS = (512, 1024, 2048)
"""The default, which the size `paper` does not repeat."""

MIXERS: dict[tuple[int, ...], Flags] = {
    (16, 32): {"mixer_width": 64, "mixer_depth": 2},
    (32, 64, 128): {"mixer_width": 80, "mixer_depth": 6},
    (64, 128, 256): {"mixer_width": 140, "mixer_depth": 6},
    (128, 256, 384): {"mixer_width": 224, "mixer_depth": 6},
    DP3_DOWN_DIMS: {"mixer_width": 128, "mixer_depth": 6},
}
"""Channels of a U-Net -> the mixer that is compared with it. It has as many weights, to within a tenth; except for the
last one, which is the published mixer and has a hundredth of DP3's."""

ENERGY_SCORE_TIME = 0.6
"""Time that the energy score of whole batches adds to a training with recipe `sdm`, as a share of one without it."""


@dataclass(frozen=True)
class Size:
    """Settings of all trainings at one size.

    Args:
        base: Demonstrations, environment, evaluation; and the trainings of dp3 and sdm.
        trainings: Those of manicm, consistency and difftori.
        edm_policy: `--policy.*` options of edm beyond those of dp3, whose network and training it shares.
    """

    base: RunSettings
    trainings: Mapping[str, Training]
    edm_policy: Flags = field(default_factory=dict)


def _training(steps: int, batch_size: int, save_freq: int, **policy: Any) -> Training:
    return Training(steps, batch_size, save_freq, policy, OPTIONS)


# A smoke test with seconds of training; two demonstrations are too few to learn from.
TINY = RunSettings(
    task="handle-press",
    env={"num_points": 32, "camera_size": 24, "render_size": 64, "episode_length": 60},
    episodes=2,
    held_out_episodes=1,
    record={"stop_after_success": 5},
    eval_batch_size=4,
    observations=4,
    samples=4,
    latency_repeats=3,
    teacher=Training(
        60,
        16,
        30,
        {
            "down_dims": [16, 32],
            "blocks_per_level": 1,
            "encoder_hidden_dims": [16, 32],
            "optimizer_lr": 1e-3,
            "scheduler_warmup_steps": 10,
        },
        OPTIONS | {"log_freq": 10},
    ),
    student=Training(40, 16, 20, {"warmup_steps": 16}, OPTIONS | {"log_freq": 10}),
)

# For two CPU cores: networks of a million weights, small clouds.
SMALL = RunSettings(
    task="detour",
    episodes=10,
    # Stop soon after success: the rest of an episode would only show the hand at rest.
    record={"workers": 2, "stop_after_success": 10},
    teacher=_training(
        2000,
        64,
        500,
        down_dims=[32, 64, 128],
        blocks_per_level=1,
        encoder_hidden_dims=[32, 64, 128],
        optimizer_lr=1e-3,
        scheduler_warmup_steps=100,
    ),
    student=_training(2000, 64, 500, warmup_steps=800, generator_lr=5e-4, pair_reuse=8),
)

# Simple DP3 as published, for a GPU or a slow run on a CPU.
SIMPLE = replace(
    SMALL,
    # DP3's number of points, and an image large enough to have that many on small objects.
    env={"num_points": 512, "camera_size": 256},
    teacher=_training(20_000, 128, 2000, down_dims=[128, 256, 384], blocks_per_level=1),
    student=_training(10_000, 128, 2000, warmup_steps=4000, pair_reuse=8),
)

# DP3 as published, for a GPU.
PAPER = replace(
    SIMPLE, teacher=_training(40_000, 128, 5000), student=_training(20_000, 128, 5000, warmup_steps=8000, pair_reuse=8)
)

WITHOUT_DROPOUT = {"dropout_rate": 0.0}
"""Of consistency students with few weights: they shrink their actions under the released dropout."""

SIZES = {
    "tiny": Size(
        TINY,
        {
            "manicm": replace(TINY.student, policy={}),
            "consistency": replace(TINY.student, policy=WITHOUT_DROPOUT),
            "difftori": replace(TINY.student, policy={"n_iterations": 4, "n_recorded_iterations": 2}),
        },
        {"num_inference_steps": 2},
    ),
    "small": Size(
        SMALL,
        {
            "manicm": _training(2000, 64, 500, student_lr=5e-4),
            "consistency": _training(2500, 64, 500, optimizer_lr=5e-4, scheduler_warmup_steps=100, **WITHOUT_DROPOUT),
            "difftori": _training(1000, 64, 500, optimizer_lr=1e-3, encoder_hidden_dims=[32, 64, 128]),
        },
        {"num_inference_steps": 18},
    ),
    "simple": Size(
        SIMPLE,
        {
            "manicm": _training(10_000, 128, 2000),
            "consistency": _training(20_000, 128, 2000),
            "difftori": _training(16_000, 128, 2000),
        },
    ),
    "paper": Size(
        PAPER,
        {
            "manicm": _training(20_000, 128, 5000),
            "consistency": _training(40_000, 128, 5000),
            "difftori": _training(16_000, 128, 5000),
        },
    ),
}

QUICKSTART_SIZES = ("small", "simple", "paper")
"""Sizes whose numbers are meaningful."""


def preset(size: str, task: str, env_type: str = SMALL.env_type) -> RunSettings:
    """Settings of a quickstart.

    Raises:
        InputError: The size is unknown.
    """
    check_known("--size", size, QUICKSTART_SIZES)
    return _adapted(SIZES[size].base, task, env_type)


def task_config(size: str, task: SuiteTask) -> RunSettings:
    """Settings of a benchmark's task at a size, except for what the protocol determines."""
    base = SIZES[size].base
    if task.task != base.task:  # `tiny` cuts episodes to its own task's needs; other tasks' experts would not finish.
        base = replace(base, env={name: value for name, value in base.env.items() if name != "episode_length"})
    return _adapted(base, task.task, task.env_type)


def training(size: str, config: RunSettings, run: str) -> Training:
    """Settings of one training of `methods.RUNS`; `config` is the task's, see `task_config`."""
    teacher, student = config.teacher, config.student
    # What needs no teacher learns for as many steps as a teacher and its student together.
    alone = replace(teacher, steps=teacher.steps + student.steps)
    made_from_these = {
        "dp3": teacher,
        "dp3_mixer": with_mixer(teacher),
        "edm": replace(teacher, policy=teacher.policy | SIZES[size].edm_policy),
        "sdm": student,
        "regression": regression_of(student),
        # As published as far as possible: with its own learning rates.
        "sdm_paper": replace(student, policy={"recipe": "sdm_paper"}),
        "flow": alone,
        "meanflow": alone,
        "drift": alone,
    }
    return {**made_from_these, **SIZES[size].trainings}[run]


def with_mixer(teacher: Training) -> Training:
    """Training of the same policy with the mixer of `MIXERS` instead of its U-Net."""
    unet = teacher.policy.get("down_dims", DP3_DOWN_DIMS)
    policy = {name: value for name, value in teacher.policy.items() if name not in BACKBONE_FIELDS["unet"]}
    return replace(teacher, policy=policy | {"backbone": "mixer"} | MIXERS[tuple(unet)])


def with_steps(student: Training, steps: int) -> Training:
    """The training with another number of steps, and a warm-up of the same share, so that it remains what it is."""
    policy = student.policy | {"warmup_steps": student.policy["warmup_steps"] * steps // student.steps}
    return replace(student, steps=steps, policy=policy)


def regression_of(student: Training) -> Training:
    """Training of the control: a student that only imitates the teacher, for about as long as the other one trains."""
    steps = 1 + ENERGY_SCORE_TIME * student.policy.get("data_share", 1)
    policy = {key: value for key, value in student.policy.items() if not key.startswith(("warmup_steps", "data_"))}
    return replace(student, steps=round(steps * student.steps), policy=policy | {"recipe": "regression"})


def _for_two_ways(config: RunSettings) -> RunSettings:
    """Settings for tasks with two ways to act: both demonstrated from every start, and chunks that cover the whole
    decision.

    With chunks of 8 actions, the 1-step teacher still succeeded in 18 of 20 episodes of an early version of `detour`:
    it drifted off the middle by chance and then saw which side it was on.
    """
    policy = config.teacher.policy | {"horizon": 32, "n_action_steps": 28}
    # The two ways differ throughout, while a task with one way needs only small corrections. The energy score's
    # gradient is ten times that of the regression, so with its full weight Adam hardly learns from pairs any more which
    # start noise goes which way, and one in twenty goes neither.
    student = config.student.policy | {"pair_reuse": 16, "data_weight": 0.05, "data_share": 0.5}
    student |= {"warmup_steps": 3 * student["warmup_steps"] // 4}
    if "generator_lr" in student:
        student |= {"generator_lr": 2 * student["generator_lr"]}
    return replace(
        config,
        episodes=20,
        env=config.env | {"num_points": 128, "episode_length": 120},
        # Nothing to grasp, and twice the demonstrations: fewer steps are enough.
        teacher=replace(config.teacher, steps=2 * config.teacher.steps // 5, policy=policy),
        student=replace(config.student, steps=3 * config.student.steps // 4, policy=student),
    )


def _wide_enough(teacher: Training) -> Training:
    """The training with networks twice as wide if they are the smallest; others are wide enough for a hand."""
    wide = {"down_dims": [64, 128, 256]} if teacher.policy.get("down_dims") == [32, 64, 128] else {}
    return replace(teacher, policy=teacher.policy | wide)


def _for_adroit(config: RunSettings) -> RunSettings:
    """Settings for a 24-joint hand: DP3's demonstrations at full length, and networks wider than an arm's."""
    return replace(
        config,
        env={"num_points": min(512, 2 * config.env["num_points"])} if "num_points" in config.env else {},
        record={"workers": 2},
        other_rules={"ever": {"success_rule": "dp3_ever"}},
        teacher=_wide_enough(config.teacher),
    )


def _for_dexart(config: RunSettings) -> RunSettings:
    """Settings for an arm with a hand: many objects, the hand's own points in the cloud, networks wider than an arm's,
    and a second evaluation on objects that no demonstration shows."""
    return replace(
        config,
        env={"imagin_robot": "joined"}
        | ({"num_points": max(256, config.env["num_points"])} if "num_points" in config.env else {}),
        episodes=100,
        other_rules={"unseen": {"objects": "unseen"}},
        # The demonstrations scatter without need, and samples as wide as they are succeed less often: with its full
        # weight the energy score cost 11 points on toilet (4 to 17, 200 paired episodes).
        student=replace(config.student, policy=config.student.policy | {"data_weight": 0.05}),
        # Clouds dominate the cost of a step, and these are large: prefer more steps to larger batches. Ten times as
        # many demonstrations as of an arm's task need more steps anyway: with laptops, small teachers succeed in 26% of
        # the episodes after 2000 of 32, and in 86% after 5000.
        teacher=replace(
            _wide_enough(config.teacher),
            steps=5 * config.teacher.steps // 2,
            batch_size=config.teacher.batch_size // 2,
            save_freq=5 * config.teacher.save_freq // 2,
        ),
    )


FAMILIES = {"adroit": _for_adroit, "dexart": _for_dexart}
"""Changes for environment types that need other settings than the size's, by type."""

TASKS = {"metaworld_pc/detour": _for_two_ways, "metaworld_pc/faucet-turn": _for_two_ways}
"""Changes for tasks that do, by type and name."""


def _adapted(config: RunSettings, task: str, env_type: str) -> RunSettings:
    """A size's settings with the changes for a task and its family."""
    config = replace(config, task=task, env_type=env_type)
    for change in (FAMILIES.get(env_type), TASKS.get(f"{env_type}/{task}")):
        if change is not None:
            config = change(config)
    return config
