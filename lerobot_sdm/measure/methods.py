"""The methods: what is trained from what, and how it is run. One line for each."""

from dataclasses import dataclass, field

from lerobot_sdm.errors import unknown_name
from lerobot_sdm.policies.sdm import GENERATOR_TIMESTEP


@dataclass(frozen=True)
class Run:
    """A training that methods rest on.

    Args:
        policy: What is trained, as `--policy.type`.
        source: The training whose checkpoint this one starts from, if any.
        option: `--policy.*` option that names that checkpoint.
    """

    policy: str
    source: str | None = None
    option: str = "teacher_path"


RUNS = {
    "dp3": Run("dp3"),
    "edm": Run("edm"),
    # sdm without its matching: for the whole training the student regresses onto the teacher's samples.
    "regression": Run("sdm", "dp3"),
    "sdm": Run("sdm", "dp3"),
    "manicm": Run("manicm", "dp3"),
    "consistency": Run("consistency", "edm"),
    "difftori": Run("difftori", "dp3", "base_path"),
}


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Args:
        label: Its name there.
        run: The training that its checkpoint comes from.
        teacher: The method that it is held against: its success on the same seeds, its distribution of actions.
        overrides: `--policy.*` options at evaluation.
    """

    label: str
    run: str
    teacher: str
    overrides: dict[str, str] = field(default_factory=dict)


def _read_out(steps: int) -> dict[str, str]:
    return {"num_inference_steps": str(steps)}


METHODS = {
    "dp3-10": Method("dp3, 10 steps", "dp3", "dp3-10", _read_out(10)),
    "dp3-2": Method("dp3, 2 steps", "dp3", "dp3-10", _read_out(2)),
    "dp3-1": Method("dp3, 1 step", "dp3", "dp3-10", _read_out(1)),
    # What sdm is before its first training step: a student has to beat it to have learned anything.
    "generator": Method(
        f"untrained student (dp3, 1 step at t = {GENERATOR_TIMESTEP})",
        "dp3",
        "dp3-10",
        _read_out(1) | {"inference_start_timestep": str(GENERATOR_TIMESTEP)},
    ),
    "regression": Method("regression, 1 step", "regression", "dp3-10"),
    "sdm": Method("sdm, 1 step", "sdm", "dp3-10"),
    "manicm": Method("manicm, 1 step", "manicm", "dp3-10", _read_out(1)),
    "edm": Method("edm, teacher of consistency", "edm", "edm"),
    "consistency": Method("consistency, 1 step", "consistency", "edm"),
    "difftori": Method("difftori on dp3", "difftori", "dp3-10"),
}

FREE_BASELINES = ("dp3-2", "dp3-1", "generator")
"""Ways to run the teacher in few steps that cost no training: a student is held against the best of them."""

SMOKE_METHODS = ("dp3-10", "generator", "sdm")
"""What the smoke suite measures unless told otherwise: a teacher, the untrained student and the trained one."""


def check_methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """Methods in the order of the tables, each once.

    Raises:
        InputError: One is not known.
    """
    for name in names:
        if name not in METHODS:
            raise unknown_name("--methods", name, METHODS)
    return tuple(name for name in METHODS if name in names)


def free_baselines(method: str) -> tuple[str, ...]:
    """The ways to run a student's teacher without training anything; none for what runs the teacher itself."""
    teacher = METHODS[method].teacher
    if METHODS[method].run == METHODS[teacher].run:
        return ()
    return tuple(name for name in FREE_BASELINES if METHODS[name].teacher == teacher)


def trainings(method: str) -> tuple[str, ...]:
    """The trainings that a method and its teacher rest on, sources before what is made from them."""
    chain: list[str] = []
    for name in (METHODS[METHODS[method].teacher].run, METHODS[method].run):
        source = RUNS[name].source
        chain += [source, name] if source else [name]
    return tuple(dict.fromkeys(chain))
