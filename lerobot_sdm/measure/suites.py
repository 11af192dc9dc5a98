"""The suites: tasks, their order, and their difficulty levels. Imports no simulator."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lerobot_sdm.envs.metaworld import tasks as metaworld
from lerobot_sdm.errors import check_all_known, check_known

LEVELS = {
    "adroit": "Adroit",
    "dexart": "DexArt-style stand-ins",
    "easy": "MetaWorld easy",
    "medium": "MetaWorld medium",
    "hard": "MetaWorld hard",
    "very_hard": "MetaWorld very hard",
    "extra": "This package's own",
}
"""Groups for reporting results, in the tables' order: name -> title. MetaWorld's are those of Seo et al."""


@dataclass(frozen=True)
class SuiteTask:
    """A task of a suite.

    Args:
        env_type: Environment type, as `--env.type`.
        task: Short name, as `--env.task`.
        level: One of `LEVELS`, in which it is reported.
    """

    env_type: str
    task: str
    level: str

    @property
    def name(self) -> str:
        """Its `table_name`."""
        return table_name(self.env_type, self.task)


def table_name(env_type: str, task: str) -> str:
    """A task's name in tables and files, unique across families: MetaWorld and Adroit both have a hammer."""
    return task if env_type == "metaworld_pc" else f"{env_type}-{task}"


def _metaworld(names: Iterable[str]) -> tuple[SuiteTask, ...]:
    return tuple(SuiteTask("metaworld_pc", name, metaworld.difficulty_of(name)) for name in names)


ADROIT = tuple(SuiteTask("adroit", name, "adroit") for name in ("hammer", "door", "pen"))
DEXART = tuple(SuiteTask("dexart", name, "dexart") for name in ("laptop", "faucet", "bucket", "toilet"))
METAWORLD = _metaworld(metaworld.METAWORLD_TASKS)

SUITES: dict[str, tuple[SuiteTask, ...]] = {
    # The split of FlowPolicy, MP1 and OMP: 3 Adroit, 21 easy, 4 medium, 4 hard, 5 very hard.
    "dp3-37": ADROIT + _metaworld(metaworld.SUITES["dp3-37"]),
    "sdm-57": ADROIT + DEXART + METAWORLD,
    "metaworld-50": METAWORLD,
    "adroit-3": ADROIT,
    "dexart-4": DEXART,
    # More than one way to act: what one-step policies are for.
    "two-ways": _metaworld(("detour", "faucet-turn")),
    # One task, as a smoke test of minutes. Its numbers mean nothing.
    "smoke": _metaworld(("handle-press",)),
}


def interleaved(tasks: Sequence[SuiteTask]) -> list[SuiteTask]:
    """The tasks in an order whose every prefix is a fair sample of the levels, so that a benchmark can stop anywhere.

    The next task comes from the level furthest below its share; within a level, tasks keep their order.
    """
    levels = {level: [task for task in tasks if task.level == level] for level in LEVELS}
    taken = dict.fromkeys(LEVELS, 0)
    order = []
    for place in range(1, len(tasks) + 1):
        level = max(LEVELS, key=lambda name: len(levels[name]) * place - taken[name] * len(tasks))
        order.append(levels[level][taken[level]])
        taken[level] += 1
    return order


def suite_tasks(suite: str, names: Collection[str] | None = None) -> tuple[SuiteTask, ...]:
    """The tasks of a suite, or those with the given names in tables, in the suite's order.

    Raises:
        InputError: The suite or a task is unknown.
    """
    check_known("--suite", suite, SUITES)
    known = {task.name: task for task in SUITES[suite]}
    chosen = check_all_known(f"--tasks of suite {suite}", known if names is None else names, known)
    return tuple(known[name] for name in chosen)
