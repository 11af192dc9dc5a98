"""The stages of a cell and the exact command of each. Pure functions, except the one that starts the measurement."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lerobot_sdm.measure import plan
from lerobot_sdm.measure.benchmark import Benchmark, Cell
from lerobot_sdm.measure.measurements import measure_method
from lerobot_sdm.measure.methods import METHODS, TableRow, trainings
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.provenance import check_data_stages, check_training_stage, run_name
from lerobot_sdm.measure.settings import RunSettings, Training
from lerobot_sdm.measure.sizes import training
from lerobot_sdm.measure.stages import Stage
from lerobot_sdm.measure.suites import SuiteTask


@dataclass(frozen=True)
class CheckpointEvaluation:
    """One call of `lerobot-eval` for a cell."""

    row: TableRow
    step: int  # Training step of the checkpoint.
    seed: int  # Of the first episode.
    episodes: int
    rule: str | None  # The protocol's rules for this environment family, if any.


def layout_of(benchmark: Benchmark, task: SuiteTask) -> RunLayout:
    """Paths of a task's files."""
    return RunLayout(benchmark.root / "tasks" / task.name)


def trained(benchmark: Benchmark, task: SuiteTask, run: str) -> Training:
    """Settings of a training, which saves every checkpoint that any protocol evaluates."""
    settings = training(benchmark.size, benchmark.task_config(task), run)
    return replace(settings, save_freq=max(1, settings.steps // benchmark.checkpoints))


def evaluations(benchmark: Benchmark, cell: Cell, protocol: str) -> list[CheckpointEvaluation]:
    """The evaluations of a cell by a protocol: of the last checkpoint, or of evenly spaced ones, each on its own
    starts."""
    rules = benchmark.rules(protocol)
    config, row = benchmark.task_config(cell.task), last_checkpoint(cell, cell.method)
    settings = trained(benchmark, cell.task, METHODS[cell.method].run)
    rule = protocol if protocol in config.other_rules else None
    if rules.evaluations == 1:
        return [CheckpointEvaluation(row, settings.steps, config.eval_seed, rules.episodes, rule)]
    steps = [settings.save_freq * number for number in range(1, min(rules.evaluations, settings.steps) + 1)]
    width = max(6, len(str(settings.steps)))  # As LeRobot names checkpoints.
    return [
        CheckpointEvaluation(
            replace(row, key=f"{row.key}_step{step}", checkpoint=f"{step:0{width}d}"),
            step,
            # The papers' evaluations are not seeded: each sees other starts. Seeds make that reproducible here.
            config.eval_seed + number * rules.episodes,
            rules.episodes,
            rule,
        )
        for number, step in enumerate(steps)
    ]


def stages(benchmark: Benchmark, cell: Cell, protocols: tuple[str, ...] | None = None) -> list[Stage]:
    """All stages that a cell depends on, in order. Cells of one task share stages of the same name.

    Args:
        protocols: Those whose evaluations to include; None for all protocols of the cell.
    """
    layout, config = layout_of(benchmark, cell.task), benchmark.task_config(cell.task)
    method = METHODS[cell.method]
    # A view's definition may change between versions, and data made with the old one would not match.
    cloud = {"cloud": benchmark.cloud(cell.task)}
    found = [
        _demonstrations(benchmark, cell.task, config, layout, cloud),
        plan.record_stage(config, layout, held_out=True, settings=cloud),
        *check_data_stages(benchmark.finished, cell.task.name, layout),
    ]
    name_of = partial(run_name, seed=cell.seed)
    for run in trainings(cell.method):
        settings = trained(benchmark, cell.task, run)
        found += [
            plan.training_stage(config, layout, run, settings, cell.seed, name_of, f"Train {run}"),
            check_training_stage(benchmark.finished, cell.task.name, layout, run, cell.seed),
        ]
    for protocol in benchmark.protocols_of(cell.method) if protocols is None else protocols:
        for item in evaluations(benchmark, cell, protocol):
            # Nobody watches the videos of fifteen checkpoints, and large ones would take half of the time.
            env = config.env if item.row.checkpoint == "last" else config.env | {"render_size": 64}
            on_these = replace(config, env=env, eval_seed=item.seed, eval_episodes=item.episodes)
            found.append(
                Stage(
                    f"evaluate_{item.row.key}",
                    f"Evaluate {item.row.label}, step {item.step}",
                    layout.evaluation(item.row.key, item.rule),
                    plan.evaluate_command(on_these, layout, item.row, item.rule),
                    settings=cloud,
                )
            )
    output, policy = measurement_file(layout, cell), last_checkpoint(cell, cell.method)
    measurement = Stage(
        f"measure_{run_name(cell.method, cell.seed)}",
        f"Distances and latency: {method.label}",
        output,
        function=partial(measure_method, config, layout, policy, last_checkpoint(cell, method.teacher), output),
        settings={
            "policy": [cell.method, method.run, method.teacher, method.overrides],
            "observations": config.observations,
            "samples": config.samples,
            "latency_repeats": config.latency_repeats,
            "threads": config.threads,
        },
    )
    return [*found, measurement]


def measurement_file(layout: RunLayout, cell: Cell) -> Path:
    """Path of a cell's distance and latency."""
    return layout.root / "measurements" / f"{run_name(cell.method, cell.seed)}.json"


def last_checkpoint(cell: Cell, method: str) -> TableRow:
    """The last checkpoint of a method with a cell's seed."""
    chosen = METHODS[method]
    return TableRow(run_name(method, cell.seed), chosen.label, run_name(chosen.run, cell.seed), chosen.overrides)


def _demonstrations(
    benchmark: Benchmark, task: SuiteTask, config: RunSettings, layout: RunLayout, settings: dict[str, Any]
) -> Stage:
    """Record demonstrations, or convert the given ones."""
    store = benchmark.store(task)
    if store is None:
        return plan.record_stage(config, layout, settings=settings)
    command = (
        "lerobot-sdm",
        "convert",
        str(store),
        f"--repo-id={plan.dataset_name(config)}",
        f"--root={layout.demonstrations}",
        f"--resample-points={benchmark.cloud(task)['num_points']}",
        "--images=skip",
        "--depth=skip",
    )
    return Stage("convert", "Convert demonstrations", layout.demonstrations, command, whole=True, settings=settings)
