"""Definition of a benchmark: its cells, and the settings that determine their numbers."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.options import DEFAULT_VIEW, OPTION_NAMES, PAPERS_VIEW, described_view, options_of_view
from lerobot_sdm.errors import InputError, check_all_known, check_at_least, check_known
from lerobot_sdm.measure.methods import METHODS, SMOKE_METHODS
from lerobot_sdm.measure.protocols import PAPER, PROTOCOLS, SMOKE_PROTOCOLS, STRICT, Protocol, check_paper_methods
from lerobot_sdm.measure.settings import Flags, RunSettings
from lerobot_sdm.measure.sizes import SIZES, task_config
from lerobot_sdm.measure.suites import SuiteTask, interleaved, suite_tasks

SMOKE = "smoke"
STORE = "{family}_{task}_expert.zarr"
"""File name that DP3's script gives a task's demonstrations."""
STORE_NAMES = {"metaworld_pc": "metaworld", "adroit": "adroit"}
"""Its names of the environments. DexArt is missing: its demonstrations show objects that this package lacks."""
EXPERT_FILES = {"adroit": ("dapg", "{task}-v0.pickle")}
"""Environment type -> an expert that reads a file for each task, and that file's name, as published."""


@dataclass(frozen=True)
class Cell:
    """One entry of the tables: a task, a method and a training seed, measured by one protocol or by both."""

    task: SuiteTask
    method: str
    seed: int

    @property
    def key(self) -> str:
        """Name of its file, without suffix."""
        return f"{self.task.name}.{self.method}.seed{self.seed}"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's settings. Its numbers depend on these values alone.

    Args:
        root: Output folder.
        suite: Name of the suite.
        size: Name of the size.
        tasks: Tasks of the suite; all unless given.
        methods: Rows of the tables.
        protocols: How they are measured.
        paper_methods: The methods measured by the protocol `paper`, if that is among the protocols.
        training_seeds: Seeds of the trainings.
        episodes: Protocol -> episodes per evaluation, for every existing protocol.
        view: Point-cloud view, as `--env.view`.
        device: Torch device for training and evaluation.
        threads: CPU threads of each command.
        data: Folder of demonstrations in zarr; None to record them.
        experts: Folder with the files of `EXPERT_FILES`, for recording by these experts; None for default ones.

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
    experts: Path | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.experts is not None:
            raise InputError(f"--experts={self.experts}: --data brings the demonstrations. Drop one of the two.")
        if self.experts is not None and not self.experts.is_dir():
            raise InputError(f"--experts={self.experts}: no such folder. Give the one with the experts' files.")
        check_at_least("--threads", self.threads)
        for seed in self.training_seeds:
            if seed < 0:
                raise InputError(f"--seeds={seed}: must not be negative. Give integers from 0.")
        for task in self.tasks:
            known = FAMILIES[task.env_type].views(task.task)
            check_known("--env-view", self.view, known)
            self.store(task)
            self.expert(task)

    @property
    def finished(self) -> Path:
        """Folder of the finished cells' files."""
        return self.root / "cells"

    def protocols_of(self, method: str) -> tuple[str, ...]:
        """The protocols by which a method is measured."""
        return tuple(name for name in self.protocols if name != PAPER or method in self.paper_methods)

    def rules(self, protocol: str) -> Protocol:
        """A protocol with this suite's and this benchmark's numbers of episodes."""
        return replace(suite_protocols(self.suite)[protocol], episodes=self.episodes[protocol])

    @property
    def checkpoints(self) -> int:
        """Checkpoints that every training saves: enough for every protocol, even if it is not measured now."""
        return max(protocol.evaluations for protocol in suite_protocols(self.suite).values())

    def settings(self) -> dict[str, Any]:
        """Settings that all cells of a folder share and that cannot change later, unlike tasks, methods, seeds and
        protocols, which can be added."""
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
        """All cells, task by task, so that tasks complete early, in an order that makes the completed tasks a fair
        sample of the suite."""
        return [
            Cell(task, method, seed)
            for task in interleaved(self.tasks)
            for seed in self.training_seeds
            for method in self.methods
        ]

    def task_config(self, task: SuiteTask) -> RunSettings:
        """Settings of a task, except for what depends on the protocol."""
        config = task_config(self.size, task)
        if self.view != DEFAULT_VIEW:
            config = replace(config, env=self._other_view(config.env))
        if (expert := self.expert(task)) is not None:
            config = replace(config, record=config.record | expert)
        by_protocol = {name: self.rules(name).rules.get(task.env_type, {}) for name in PROTOCOLS}
        return replace(
            config,
            other_rules={name: rules for name, rules in by_protocol.items() if rules},
            device=self.device,
            threads=self.threads,
        )

    def _other_view(self, env: Flags) -> Flags:
        """Options for a view other than the one the size is tuned for: that view sets the number of points and
        everything else about the cloud. Clouds of the smoke suite stay small."""
        ours = {} if self.suite == SMOKE else dict.fromkeys((*OPTION_NAMES, "sampling"))
        return {"view": self.view} | {name: value for name, value in env.items() if name not in ours}

    def cloud(self, task: SuiteTask) -> dict[str, Any]:
        """Settings of a task's clouds: the view's name and all options, JSON-compatible."""
        env = self.task_config(task).env
        given = {name: value for name, value in env.items() if name in OPTION_NAMES}
        return described_view(self.view, options_of_view(FAMILIES[task.env_type].views(task.task), self.view, **given))

    def expert(self, task: SuiteTask) -> Flags | None:
        """Options that name the expert and its file for recording a task; None for its default expert.

        Raises:
            InputError: The file is missing.
        """
        if self.experts is None or task.env_type not in EXPERT_FILES:
            return None
        name, file = EXPERT_FILES[task.env_type]
        path = self.experts / file.format(task=task.task)
        if not path.exists():
            raise InputError(
                f"--experts={self.experts}: holds no {path.name}. Add it, or drop --experts to record {task.name} by "
                "its default expert."
            )
        return {"expert": name, "expert_path": str(path)}

    def store(self, task: SuiteTask) -> Path | None:
        """A task's demonstrations in zarr; None if they are recorded.

        Raises:
            InputError: The demonstrations are missing, or cannot be used for this task.
        """
        if self.data is None:
            return None
        if task.env_type not in STORE_NAMES:
            raise InputError(
                f"--data={self.data}: {task.name} cannot be learned from it, because those demonstrations show objects "
                "that this package's simulator lacks. Drop --data, or exclude the task with --tasks."
            )
        path = self.data / STORE.format(family=STORE_NAMES[task.env_type], task=task.task)
        if not path.exists():
            raise InputError(
                f"--data={self.data}: holds no {path.name}. Add it, exclude tasks with --tasks, or drop --data to "
                "record demonstrations."
            )
        return path


def suite_protocols(suite: str) -> dict[str, Protocol]:
    """The protocols with a suite's numbers of episodes."""
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
    """Build a benchmark from command-line values; missing ones get the suite's and protocols' defaults.

    Args:
        episodes: Episodes of a `strict` evaluation; in the smoke suite, of every evaluation.
        view: Point-cloud view; None for the environments' default, or for the view of the given demonstrations.
        data: Folder of demonstrations in DP3's view.
        root, suite, size, tasks, methods, protocols, paper_methods, training_seeds, others: See `Benchmark`.

    Raises:
        InputError: A name is unknown, or a value is invalid.
    """
    protocols = check_all_known("--protocol", protocols, PROTOCOLS)
    smoke = suite == SMOKE
    size = size or ("tiny" if smoke else "small")
    check_known("--size", size, SIZES)
    methods = check_all_known("--methods", methods or (SMOKE_METHODS if smoke else tuple(METHODS)), METHODS)
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
    """The view for demonstrations and evaluations.

    Raises:
        InputError: The given demonstrations show another view.
    """
    if data is None:
        return asked or DEFAULT_VIEW
    if asked not in (None, PAPERS_VIEW):
        raise InputError(
            f"--env-view={asked}: demonstrations in --data={data} show the view '{PAPERS_VIEW}'. Drop --env-view, or "
            "drop --data to record demonstrations."
        )
    return PAPERS_VIEW


def _episodes(suite: str, asked: int | None) -> dict[str, int]:
    """Episodes per evaluation, by protocol.

    Raises:
        InputError: The number is too small.
    """
    usual = {name: protocol.episodes for name, protocol in suite_protocols(suite).items()}
    if asked is None:
        return usual
    least = 1 if suite == SMOKE else usual[STRICT]
    if asked < least:
        raise InputError(
            f"--episodes={asked}: protocol 'strict' needs at least {least}; with fewer, intervals are too wide to tell "
            "methods apart. Give more, or use --suite=smoke to try things out."
        )
    # The number of episodes is part of the papers' protocol.
    return dict.fromkeys(usual, asked) if suite == SMOKE else usual | {STRICT: asked}
