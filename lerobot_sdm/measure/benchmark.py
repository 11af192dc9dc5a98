"""What a benchmark is: its cells, and what their numbers depend on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.options import OPTION_NAMES, PAPERS_VIEW, described_view, options_of_view
from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.measure.methods import METHODS, SMOKE_METHODS, check_methods
from lerobot_sdm.measure.protocols import (
    PAPER,
    PROTOCOLS,
    SMOKE_PROTOCOLS,
    STRICT,
    Protocol,
    check_paper_methods,
    check_protocols,
)
from lerobot_sdm.measure.settings import Flags, RunSettings
from lerobot_sdm.measure.sizes import SIZES, task_config
from lerobot_sdm.measure.suites import SUITES, SuiteTask, interleaved, suite_tasks

SMOKE = "smoke"
"""What the demonstrations in DP3's stores show."""
STORE = "{family}_{task}_expert.zarr"
"""How DP3's script names a task's demonstrations."""
STORE_NAMES = {"metaworld_pc": "metaworld", "adroit": "adroit"}
"""What it calls the environments; DexArt's demonstrations show objects that are not here."""


@dataclass(frozen=True)
class Cell:
    """One entry of the tables with everything that belongs to it: a task, a method and a training seed. It is measured
    by one protocol or by both."""

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
        size: Name of the size.
        tasks: Tasks of the suite; all unless given.
        methods: The rows.
        protocols: How they are measured.
        paper_methods: Those of the methods that are measured by the protocol `paper`, if it is among them.
        training_seeds: Seeds of the trainings.
        episodes: Protocol -> episodes of each evaluation, for all protocols that there are.
        view: What the clouds show, as `--env.view`.
        device: Torch device of trainings and policies.
        threads: CPU threads of each command.
        data: Folder of demonstrations in zarr; None to record them.

    Raises:
        InputError: A value cannot work.
    """

    root: Path
    suite: str
    size: str
    tasks: tuple[SuiteTask, ...]
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    paper_methods: tuple[str, ...]
    training_seeds: tuple[int, ...]
    episodes: dict[str, int]
    view: str
    device: str = "cpu"
    threads: int = 1
    data: Path | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise InputError(f"--threads={self.threads}: give a whole number of at least 1.")
        for seed in self.training_seeds:
            if seed < 0:
                raise InputError(f"--seeds: {seed} is below 0.")
        for task in self.tasks:
            known = FAMILIES[task.env_type].views(task.task)
            if self.view not in known:
                raise unknown_name("--env-view", self.view, known)
            self.store(task)

    @property
    def finished(self) -> Path:
        """Where finished cells are written down."""
        return self.root / "cells"

    def protocols_of(self, method: str) -> tuple[str, ...]:
        """How a method is measured."""
        return tuple(name for name in self.protocols if name != PAPER or method in self.paper_methods)

    def rules(self, protocol: str) -> Protocol:
        """What a protocol does in this suite, with these numbers of episodes."""
        return replace(suite_protocols(self.suite)[protocol], episodes=self.episodes[protocol])

    @property
    def checkpoints(self) -> int:
        """How many checkpoints every training saves: as many as any protocol evaluates, whichever are measured now."""
        return max(protocol.evaluations for protocol in suite_protocols(self.suite).values())

    def settings(self) -> dict[str, Any]:
        """What all cells of a folder share: tasks, methods, seeds and protocols can be added to it later, these do not
        change."""
        return {
            "suite": self.suite,
            "size": self.size,
            "view": self.view,
            "episodes": self.episodes,
            "device": self.device,
            "threads": self.threads,
            "data": None if self.data is None else str(self.data),
        }

    def cells(self) -> list[Cell]:
        """All cells: task by task, so that the first tasks are whole as early as can be; tasks in an order that makes
        those which are whole a fair sample of the suite."""
        return [
            Cell(task, method, seed)
            for task in interleaved(self.tasks)
            for seed in self.training_seeds
            for method in self.methods
        ]

    def task_config(self, task: SuiteTask) -> RunSettings:
        """Settings of a task, but for what a single protocol decides."""
        config = task_config(self.size, task)
        if self.view != FAMILIES[task.env_type].default_view:
            config = replace(config, env=self._other_view(config.env))
        by_protocol = {name: self.rules(name).rules.get(task.env_type, {}) for name in PROTOCOLS}
        return replace(
            config,
            other_rules={name: rules for name, rules in by_protocol.items() if rules},
            device=self.device,
            threads=self.threads,
        )

    def _other_view(self, env: Flags) -> Flags:
        """Options with another view than the size is made for: it brings its own number of points and all else that
        makes a cloud. Clouds of the smoke suite stay small."""
        ours = {} if self.suite == SMOKE else dict.fromkeys((*OPTION_NAMES, "sampling"))
        return {"view": self.view} | {name: value for name, value in env.items() if name not in ours}

    def cloud(self, task: SuiteTask) -> dict[str, Any]:
        """How a task's clouds are made: the view's name and all options, JSON-compatible."""
        env = self.task_config(task).env
        given = {name: value for name, value in env.items() if name in OPTION_NAMES}
        return described_view(self.view, options_of_view(FAMILIES[task.env_type].views(task.task), self.view, **given))

    def store(self, task: SuiteTask) -> Path | None:
        """The demonstrations of a task in zarr; None where they are recorded.

        Raises:
            InputError: There are none, or none that would fit.
        """
        if self.data is None:
            return None
        if task.env_type not in STORE_NAMES:
            raise InputError(
                f"--data={self.data}: {task.name} cannot be learned from it, since those demonstrations show objects "
                "that the simulator here does not have. Leave --data out, or the task, with --tasks."
            )
        path = self.data / STORE.format(family=STORE_NAMES[task.env_type], task=task.task)
        if not path.exists():
            raise InputError(
                f"--data={self.data}: holds no {path.name}. Put it there, or leave tasks out with --tasks, or record "
                "demonstrations by leaving --data out."
            )
        return path


def suite_protocols(suite: str) -> dict[str, Protocol]:
    """The protocols as a suite uses them."""
    return SMOKE_PROTOCOLS if suite == SMOKE else PROTOCOLS


def make_benchmark(
    root: Path,
    suite: str,
    size: str | None = None,
    tasks: tuple[str, ...] | None = None,
    methods: tuple[str, ...] | None = None,
    protocols: tuple[str, ...] = (STRICT,),
    paper_methods: tuple[str, ...] | None = None,
    training_seeds: tuple[int, ...] = (1,),
    episodes: int | None = None,
    view: str | None = None,
    data: Path | None = None,
    **others: Any,
) -> Benchmark:
    """A benchmark from the names that the command line takes; blanks get the values of suite and protocols.

    Args:
        episodes: Episodes of a `strict` evaluation; in the smoke suite, of every evaluation.
        view: What clouds show; None for the environments' default, or for what the given demonstrations show.
        data: Folder of demonstrations in DP3's view.
        root, suite, size, tasks, methods, protocols, paper_methods, training_seeds, others: As for `Benchmark`.

    Raises:
        InputError: A name is not known, or a value cannot work.
    """
    if suite not in SUITES:
        raise unknown_name("--suite", suite, SUITES)
    protocols = check_protocols(protocols)
    smoke = suite == SMOKE
    size = size or ("tiny" if smoke else "small")
    if size not in SIZES:
        raise unknown_name("--size", size, SIZES)
    methods = check_methods(methods or (SMOKE_METHODS if smoke else tuple(METHODS)))
    return Benchmark(
        root=root,
        suite=suite,
        size=size,
        tasks=suite_tasks(suite, tasks),
        methods=methods,
        protocols=protocols,
        paper_methods=check_paper_methods(paper_methods, methods, protocols),
        training_seeds=training_seeds,
        episodes=_episodes(suite, episodes),
        view=_view(suite, view, data),
        data=data,
        **others,
    )


def _view(suite: str, asked: str | None, data: Path | None) -> str:
    """The view of demonstrations and evaluations.

    Raises:
        InputError: Given demonstrations show another.
    """
    if data is None:
        # All families call theirs alike; a suite with several would be asked to name one otherwise.
        return asked or FAMILIES[SUITES[suite][0].env_type].default_view
    if asked not in (None, PAPERS_VIEW):
        raise InputError(
            f"--env-view={asked}: demonstrations in --data={data} show the view '{PAPERS_VIEW}'. Drop --env-view, or "
            "record demonstrations by leaving --data out."
        )
    return PAPERS_VIEW


def _episodes(suite: str, asked: int | None) -> dict[str, int]:
    """Episodes of each evaluation by protocol.

    Raises:
        InputError: Too few are asked for.
    """
    usual = {name: protocol.episodes for name, protocol in suite_protocols(suite).items()}
    if asked is None:
        return usual
    least = 1 if suite == SMOKE else usual[STRICT]
    if asked < least:
        raise InputError(
            f"--episodes={asked}: protocol 'strict' needs at least {least}, or intervals are too wide to tell methods "
            "apart. Give more, or --suite=smoke to try things out."
        )
    # What the papers' protocol is includes its number of episodes.
    return dict.fromkeys(usual, asked) if suite == SMOKE else usual | {STRICT: asked}
