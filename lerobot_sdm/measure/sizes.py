"""How much of everything: demonstrations, networks, trainings. The quickstart's sizes, and what other methods add."""

from dataclasses import dataclass, replace

from lerobot_sdm.measure.presets import OPTIONS, SIZES, adapted
from lerobot_sdm.measure.settings import RunSettings, Training
from lerobot_sdm.measure.suites import SuiteTask

# To see that everything works, in seconds of training; nobody learns much from two demonstrations.
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
    student=Training(40, 16, 20, {"warmup_steps": 20}, OPTIONS | {"log_freq": 10}),
)


@dataclass(frozen=True)
class Size:
    """Settings of all trainings at one size.

    Args:
        base: Demonstrations, environment, evaluation; and the trainings of dp3 and sdm.
        manicm: Training of manicm.
        edm_policy: `--policy.*` options of edm beyond those of dp3, whose network and training it shares.
        consistency: Training of consistency.
        difftori: Training of difftori.
    """

    base: RunSettings
    manicm: Training
    edm_policy: dict[str, int]
    consistency: Training
    difftori: Training


SIZE_SETTINGS = {
    "tiny": Size(
        base=TINY,
        manicm=replace(TINY.student, policy={}),
        edm_policy={"num_inference_steps": 2},
        consistency=replace(TINY.student, policy={}),
        difftori=replace(TINY.student, policy={"n_iterations": 4, "n_recorded_iterations": 2}),
    ),
    "small": Size(
        base=SIZES["small"],
        manicm=Training(2000, 64, 500, {"student_lr": 5e-4}, OPTIONS),
        edm_policy={"num_inference_steps": 18},
        consistency=Training(2500, 64, 500, {"optimizer_lr": 5e-4, "scheduler_warmup_steps": 100}, OPTIONS),
        difftori=Training(1500, 64, 500, {}, OPTIONS),
    ),
    "simple": Size(
        base=SIZES["simple"],
        manicm=Training(10_000, 128, 2000, {}, OPTIONS),
        edm_policy={},
        consistency=Training(20_000, 128, 2000, {}, OPTIONS),
        difftori=Training(10_000, 128, 2000, {}, OPTIONS),
    ),
    "paper": Size(
        base=SIZES["paper"],
        manicm=Training(20_000, 128, 5000, {}, OPTIONS),
        edm_policy={},
        consistency=Training(40_000, 128, 5000, {}, OPTIONS),
        difftori=Training(20_000, 128, 5000, {}, OPTIONS),
    ),
}


def task_config(size: str, task: SuiteTask) -> RunSettings:
    """Settings of a task at a size, but for what the protocol decides."""
    base = SIZE_SETTINGS[size].base
    if task.task != base.task:  # `tiny` cuts episodes to what its own task needs; experts of others would not finish.
        base = replace(base, env={name: value for name, value in base.env.items() if name != "episode_length"})
    return adapted(base, task.task, task.env_type)


def training(size: str, config: RunSettings, run: str) -> Training:
    """Settings of one training.

    Args:
        size: Name of the size.
        config: The task's settings, see `task_config`.
        run: Name of the training, one of `methods.RUNS`.
    """
    settings = SIZE_SETTINGS[size]
    if run == "edm":
        return replace(config.teacher, policy=config.teacher.policy | settings.edm_policy)
    if run == "regression":
        student = config.student
        return replace(student, policy=student.policy | {"warmup_steps": student.steps})
    return {
        "dp3": config.teacher,
        "sdm": config.student,
        "manicm": settings.manicm,
        "consistency": settings.consistency,
        "difftori": settings.difftori,
    }[run]
