"""A whole run: its stages in order."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from lerobot_sdm.measure import plan, quickstart_report
from lerobot_sdm.measure.commands import PLAIN
from lerobot_sdm.measure.plan import ROWS, Layout
from lerobot_sdm.measure.runner import run_stages
from lerobot_sdm.measure.settings import PipelineConfig
from lerobot_sdm.measure.stage_sizes import sized
from lerobot_sdm.measure.stages import Stage, claim_folder, finished_stage
from lerobot_sdm.processes.launcher import warm_process
from lerobot_sdm.processes.preloaded import EVERYTHING_ELSE, RECORDING
from lerobot_sdm.processes.threads import available_cores, passive_waiting


def run_pipeline(config: PipelineConfig, layout: Layout, console: Console, verbose: bool = False) -> dict[str, Any]:
    """Do what has not been done yet of a run.

    Args:
        config: The run's settings.
        layout: Its folder; a new one, an empty one, or that of an earlier call with the same settings.
        console: Where to report.
        verbose: Show everything that the commands print.

    Returns:
        Content of `results.json`.

    Raises:
        InputError: If the folder belongs to something else or a setting changed.
        CommandFailedError: If a command fails.
    """
    claim_folder(layout.root, config.settings())
    variables = shared_variables(config)
    console.print("Each command below can be copied; `uv run` goes before it where the environment is not active.")
    console.print("export " + " ".join(f"{key}={value}" for key, value in variables.items()), style="cyan")
    run_warm(all_stages(config, layout), layout.root, console, os.environ | variables, verbose)
    return quickstart_report.finished_results(layout)


def run_warm(
    stages: Sequence[Stage], root: Path, console: Console, environment: dict[str, str], verbose: bool = False
) -> None:
    """Run stages side by side, forked from one warm process, on all cores that there are; see `run_stages`."""
    if all(finished_stage(stage, root) for stage in stages):
        launching = nullcontext(PLAIN)
    else:
        launching = warm_process(environment, RECORDING, root / "logs" / "warm_process.log", EVERYTHING_ELSE)
    with launching as launcher:
        run_stages(stages, root, console, environment, verbose, launcher=launcher, cores=available_cores())


def shared_variables(config: PipelineConfig) -> dict[str, str]:
    """Environment variables of all commands: nothing is fetched from the Hub, and cores are not oversubscribed."""
    return {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(config.threads), **passive_waiting()}


def all_stages(config: PipelineConfig, layout: Layout) -> list[Stage]:
    """The stages of a run: first what others wait for, so that a single core loses nothing by the order."""
    held_out = replace(config, record=config.record | {"workers": 1}) if "workers" in config.record else config
    stages = [
        Stage(
            "record",
            "Record demonstrations",
            layout.demonstrations,
            plan.record_command(config, layout),
            whole=True,
            needs=(),
            cores=config.record.get("workers", 1),
        ),
        _training(config, layout, "teacher", "Train the teacher", needs=("record",)),
        Stage(
            "record_held_out",
            "Record held-out demonstrations",
            layout.held_out,
            # Beside the training, which has the other cores.
            plan.record_command(held_out, layout, held_out=True),
            whole=True,
            needs=(),
        ),
        Stage(
            "evaluate_expert",
            "Measure the expert on the evaluation's seeds",
            layout.expert,
            function=partial(quickstart_report.measure_expert, config, layout),
            settings={
                "env": config.env,
                "rules": config.other_rules,
                "record": config.record,
                "seed": config.eval_seed,
            },
            needs=(),
        ),
        _training(config, layout, "student", "Distil the student", needs=("train_teacher",)),
        Stage(
            "distances",
            "Compare action distributions with the teacher's",
            layout.distances,
            plan.distance_command(config, layout),
            whole=True,
            needs=("record_held_out", "train_student"),
            device=_shared_device(config),
        ),
        *(
            Stage(
                f"evaluate_{row.key}" + (f"_{rule}" if rule else ""),
                f"Evaluate: {row.label}" + (f" ({rule})" if rule else ""),
                layout.evaluation(row.key, rule),
                plan.evaluate_command(config, layout, row, rule),
                needs=(f"train_{row.run}",),
                device=_shared_device(config),
            )
            for row in ROWS
            for rule in (None, *config.other_rules)
        ),
        Stage(
            "latency",
            "Time action chunks",
            layout.latency,
            function=partial(quickstart_report.measure_latencies, config, layout),
            settings={"repeats": config.latency_repeats, "threads": config.threads},
            alone=True,
        ),
        Stage(
            "report",
            "Write table, pictures and video",
            layout.results,
            function=partial(quickstart_report.write_report, config, layout),
            settings={},
        ),
    ]
    return [sized(stage, config) for stage in stages]


def _training(config: PipelineConfig, layout: Layout, run: str, title: str, needs: tuple[str, ...]) -> Stage:
    return Stage(
        f"train_{run}",
        title,
        layout.training(run),
        plan.train_command(config, layout, run),
        continue_command=partial(plan.continue_training_command, layout, run),
        needs=needs,
        cores=config.threads,
        device=_shared_device(config),
    )


def _shared_device(config: PipelineConfig) -> str:
    """What only one stage at a time may use: a GPU's memory may hold no more."""
    return "" if config.device == "cpu" else config.device
