"""The methods: what each is trained from and how it is run. All tables take their rows from here."""

from dataclasses import dataclass, field

from lerobot_sdm.policies.sdm import GENERATOR_TIMESTEP


@dataclass(frozen=True)
class Run:
    """A training that methods depend on.

    Args:
        policy: Policy type, as `--policy.type`.
        source: The training whose checkpoint this one starts from, if any.
        option: `--policy.*` option for that checkpoint.
    """

    policy: str
    source: str | None = None
    option: str = "teacher_path"


RUNS = {
    "dp3": Run("dp3"),
    # The same teacher with another denoising network of about as many weights.
    "dp3_mixer": Run("dp3"),
    "edm": Run("edm"),
    # Three recipes of one policy type.
    "regression": Run("sdm", "dp3"),
    "sdm": Run("sdm", "dp3"),
    "sdm_paper": Run("sdm", "dp3"),
    "manicm": Run("manicm", "dp3"),
    "consistency": Run("consistency", "edm"),
    "difftori": Run("difftori", "dp3", "base_path"),
    # From demonstrations alone, as a teacher is.
    "flow": Run("flow"),
    "meanflow": Run("meanflow"),
    "drift": Run("drift"),
}


@dataclass(frozen=True)
class Method:
    """How a method is trained and run.

    Args:
        label: Its name in a benchmark's tables.
        run: Training that its checkpoint comes from.
        teacher: Method that it is compared with, in success on the same seeds and in action distribution; its own name
            if it is a teacher, or has none.
        overrides: `--policy.*` options at evaluation.
    """

    label: str
    run: str
    teacher: str
    overrides: dict[str, str] = field(default_factory=dict)


def _steps(count: int) -> dict[str, str]:
    return {"num_inference_steps": str(count)}


METHODS = {
    "dp3-10": Method("dp3, 10 steps", "dp3", "dp3-10", _steps(10)),
    "dp3-2": Method("dp3, 2 steps", "dp3", "dp3-10", _steps(2)),
    "dp3-1": Method("dp3, 1 step", "dp3", "dp3-10", _steps(1)),
    # sdm before its first training step: a student that does not beat it has learned nothing.
    "generator": Method(
        f"untrained student (dp3, 1 step at t = {GENERATOR_TIMESTEP})",
        "dp3",
        "dp3-10",
        _steps(1) | {"inference_start_timestep": str(GENERATOR_TIMESTEP)},
    ),
    "regression": Method("regression, 1 step", "regression", "dp3-10"),
    "sdm": Method("sdm, 1 step", "sdm", "dp3-10"),
    "sdm_paper": Method("sdm as published, 1 step", "sdm_paper", "dp3-10"),
    "manicm": Method("manicm, 1 step", "manicm", "dp3-10", _steps(1)),
    "edm": Method("edm, teacher of consistency", "edm", "edm"),
    "consistency": Method("consistency, 1 step", "consistency", "edm"),
    "difftori": Method("difftori on dp3", "difftori", "dp3-10"),
    "flow": Method("flow, 1 step", "flow", "flow", _steps(1)),
    "meanflow": Method("meanflow, 1 step", "meanflow", "meanflow", _steps(1)),
    "drift": Method("drift, 1 step", "drift", "drift"),
    # Compared with the U-Net, which is no teacher of theirs.
    "dp3_mixer-10": Method("dp3 with a mixer, 10 steps", "dp3_mixer", "dp3-10", _steps(10)),
    "dp3_mixer-2": Method("dp3 with a mixer, 2 steps", "dp3_mixer", "dp3-10", _steps(2)),
}

TEACHERS = frozenset(method.teacher for name, method in METHODS.items() if method.teacher != name)
"""Methods that others are compared with."""


@dataclass(frozen=True)
class TableRow:
    """One row of a table: a checkpoint and its options.

    Args:
        key: Name of its files.
        label: Name in the table.
        run: Folder of its training.
        overrides: `--policy.*` options at evaluation.
        checkpoint: Which checkpoint: `last`, or a step as LeRobot writes it.
    """

    key: str
    label: str
    run: str
    overrides: dict[str, str] = field(default_factory=dict)
    checkpoint: str = "last"


QUICKSTART_RUNS = {"dp3": "teacher", "regression": "regression", "sdm": "student"}
"""The trainings of a quickstart: run -> folder."""

ROWS = tuple(
    TableRow(key, label, QUICKSTART_RUNS[METHODS[method].run], METHODS[method].overrides)
    for method, key, label in (
        ("dp3-10", "teacher_10", "teacher, 10 steps"),
        ("dp3-2", "teacher_2", "teacher, 2 steps"),
        ("dp3-1", "teacher_1", "teacher, 1 step"),
        ("generator", "generator", f"untrained student: teacher, 1 step at t = {GENERATOR_TIMESTEP}"),
        ("regression", "regression", "student by regression alone, 1 step"),
        ("sdm", "student", "student (SDM), 1 step"),
    )
)
"""The rows of a quickstart's table, with names that explain a method to a first-time reader."""

SHOWN = {"teacher_10": "teacher, 10 steps", "teacher_1": "teacher, 1 step", "student": "student, 1 step"}
"""The rows of a quickstart that videos and overviews show, with short titles."""

FREE_BASELINES = ("dp3-2", "dp3-1", "generator")
"""Ways to run the teacher in few steps without training; a student is compared with the best of them."""

SMOKE_METHODS = ("dp3-10", "generator", "sdm")
"""The smoke suite's default methods: a teacher, the untrained student and the trained one."""


def has_teacher(method: str) -> bool:
    """Whether a method is compared with a teacher, or is one: false for what only learns from demonstrations."""
    return METHODS[method].teacher in TEACHERS


def free_baselines(method: str) -> tuple[str, ...]:
    """The training-free ways to run a student's teacher; none for methods that run a teacher itself."""
    teacher = METHODS[method].teacher
    if RUNS[METHODS[method].run].source is None:
        return ()
    return tuple(name for name in FREE_BASELINES if METHODS[name].teacher == teacher)


def trainings(method: str) -> tuple[str, ...]:
    """The trainings that a method and its teacher depend on, in order of dependency."""
    chain: list[str] = []
    for name in (METHODS[METHODS[method].teacher].run, METHODS[method].run):
        source = RUNS[name].source
        chain += [source, name] if source else [name]
    return tuple(dict.fromkeys(chain))
