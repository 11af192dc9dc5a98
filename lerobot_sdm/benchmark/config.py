"""What a benchmark is: its cells, and what their numbers depend on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lerobot_sdm.benchmark.methods import METHODS, SMOKE_METHODS, check_methods
from lerobot_sdm.benchmark.protocols import PROTOCOLS, SMOKE_EPISODES, Protocol
from lerobot_sdm.benchmark.sizes import SIZE_SETTINGS, task_config
from lerobot_sdm.benchmark.suites import SUITES, SuiteTask, suite_tasks
from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.pipeline.config import PipelineConfig

SMOKE = "smoke"
STORE = "{family}_{task}_expert.zarr"
"""How DP3's script names a task's demonstrations."""
FAMILIES = {"metaworld_pc": "metaworld", "adroit": "adroit"}
"""What it calls the environments; DexArt's demonstrations show objects that are not here."""


@dataclass(frozen=True)
class Cell:
    """One number of the table with everything that belongs to it: a task, a method and a training seed."""

    task: SuiteTask
    method: str
    seed: int

    @property
    def key(self) -> str:
        """Name of its file."""
        return f"{self.task.name}.{self.method}.seed{self.seed}"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark. Numbers depend on these values and on nothing else.

    Args:
        root: Folder for everything.
        suite: Name of the suite.
        protocol: Name of the protocol.
        size: Name of the size.
        tasks: Tasks of the suite; all unless given.
        methods: The rows.
        training_seeds: Seeds of the trainings.
        episodes: Episodes of each evaluation.
        device: Torch device of trainings and policies.
        threads: CPU threads of each command.
        data: Folder of demonstrations in zarr; None to record them.

    Raises:
        InputError: A value cannot work.
    """

    root: Path
    suite: str
    protocol: str
    size: str
    tasks: tuple[SuiteTask, ...]
    methods: tuple[str, ...]
    training_seeds: tuple[int, ...]
    episodes: int
    device: str = "cpu"
    threads: int = 1
    data: Path | None = None

    def __post_init__(self) -> None:
        least = 1 if self.suite == SMOKE else self.rules.least_episodes
        if self.episodes < least:
            raise InputError(
                f"--episodes={self.episodes}: protocol '{self.protocol}' needs at least {least}, or intervals are too "
                "wide to tell methods apart. Give more, or --suite=smoke to try things out."
            )
        if self.threads < 1:
            raise InputError(f"--threads={self.threads}: give a whole number of at least 1.")
        for seed in self.training_seeds:
            if seed < 0:
                raise InputError(f"--seeds: {seed} is below 0.")
        for task in self.tasks:
            self.store(task)

    @property
    def rules(self) -> Protocol:
        """The protocol."""
        return PROTOCOLS[self.protocol]

    def settings(self) -> dict[str, Any]:
        """What all cells of a folder share: tasks, methods and seeds can be added to it later, these do not change."""
        return {
            "suite": self.suite,
            "protocol": self.protocol,
            "size": self.size,
            "episodes": self.episodes,
            "device": self.device,
            "threads": self.threads,
            "data": None if self.data is None else str(self.data),
        }

    def cells(self) -> list[Cell]:
        """All cells: tasks take turns, so that cells which run side by side rarely need the same training."""
        return [
            Cell(task, method, seed) for seed in self.training_seeds for method in self.methods for task in self.tasks
        ]

    def task_config(self, task: SuiteTask) -> PipelineConfig:
        """Settings of a task under the protocol."""
        rules = self.rules.rules.get(task.env_type, {})
        return replace(
            task_config(self.size, task),
            eval_episodes=self.episodes,
            other_rules={self.protocol: rules} if rules else {},
            device=self.device,
            threads=self.threads,
        )

    def store(self, task: SuiteTask) -> Path | None:
        """The demonstrations of a task in zarr; None where they are recorded.

        Raises:
            InputError: There are none, or none that would fit.
        """
        if self.data is None:
            return None
        if task.env_type not in FAMILIES:
            raise InputError(
                f"--data={self.data}: {task.name} cannot be learned from it, since those demonstrations show objects "
                "that the simulator here does not have. Leave --data out, or the task, with --tasks."
            )
        path = self.data / STORE.format(family=FAMILIES[task.env_type], task=task.task)
        if not path.exists():
            raise InputError(
                f"--data={self.data}: holds no {path.name}. Put it there, or leave tasks out with --tasks, or record "
                "demonstrations by leaving --data out."
            )
        return path


def make_benchmark(
    root: Path,
    suite: str,
    protocol: str = "strict",
    size: str | None = None,
    tasks: tuple[str, ...] | None = None,
    methods: tuple[str, ...] | None = None,
    training_seeds: tuple[int, ...] | None = None,
    episodes: int | None = None,
    **others: Any,
) -> Benchmark:
    """A benchmark from the names that the command line takes; blanks get the values of suite and protocol.

    Args:
        root, suite, protocol, size, tasks, methods, training_seeds, episodes, others: As for `Benchmark`.

    Raises:
        InputError: A name is not known, or a value cannot work.
    """
    if protocol not in PROTOCOLS:
        raise unknown_name("--protocol", protocol, PROTOCOLS)
    if suite not in SUITES:
        raise unknown_name("--suite", suite, SUITES)
    smoke, rules = suite == SMOKE, PROTOCOLS[protocol]
    size = size or ("tiny" if smoke else "small")
    if size not in SIZE_SETTINGS:
        raise unknown_name("--size", size, SIZE_SETTINGS)
    return Benchmark(
        root=root,
        suite=suite,
        protocol=protocol,
        size=size,
        tasks=suite_tasks(suite, tasks),
        methods=check_methods(methods or (SMOKE_METHODS if smoke else tuple(METHODS))),
        training_seeds=training_seeds or rules.training_seeds[: 1 if smoke else None],
        episodes=(SMOKE_EPISODES if smoke else rules.episodes) if episodes is None else episodes,
        **others,
    )
