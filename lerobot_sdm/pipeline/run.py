"""A whole run: its stages in order."""

import os
from functools import partial
from typing import Any

from rich.console import Console

from lerobot_sdm.pipeline import plan, report
from lerobot_sdm.pipeline.config import PipelineConfig
from lerobot_sdm.pipeline.plan import ROWS, Layout
from lerobot_sdm.pipeline.stages import Stage, claim_folder, run_stages


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
    run_stages(all_stages(config, layout, console), layout.root, console, os.environ | variables, verbose)
    return report.finished_results(layout)


def shared_variables(config: PipelineConfig) -> dict[str, str]:
    """Environment variables of all commands: nothing is fetched from the Hub, and cores are not oversubscribed."""
    return {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(config.threads)}


def all_stages(config: PipelineConfig, layout: Layout, console: Console) -> list[Stage]:
    """The stages of a run, in order."""
    record = partial(plan.record_command, config, layout)
    return [
        Stage("record", "Record demonstrations", layout.demonstrations, record(), whole=True),
        Stage("record_held_out", "Record held-out ones", layout.held_out, record(held_out=True), whole=True),
        *(
            Stage(
                f"train_{run}",
                title,
                layout.training(run),
                plan.train_command(config, layout, run),
                continue_command=partial(plan.continue_training_command, layout, run),
            )
            for run, title in (("teacher", "Train the teacher"), ("student", "Distil the student"))
        ),
        Stage(
            "evaluate_expert",
            "Measure the expert on the evaluation's seeds",
            layout.expert,
            function=partial(report.measure_expert, config, layout, console),
            settings={
                "env": config.env,
                "rules": config.other_rules,
                "record": config.record,
                "seed": config.eval_seed,
            },
        ),
        *(
            Stage(
                f"evaluate_{row.key}" + (f"_{rule}" if rule else ""),
                f"Evaluate: {row.label}" + (f" ({rule})" if rule else ""),
                layout.evaluation(row.key, rule),
                plan.evaluate_command(config, layout, row, rule),
            )
            for row in ROWS
            for rule in (None, *config.other_rules)
        ),
        Stage(
            "distances",
            "Compare action distributions with the teacher's",
            layout.distances,
            plan.distance_command(config, layout),
            whole=True,
        ),
        Stage(
            "latency",
            "Time action chunks",
            layout.latency,
            function=partial(report.measure_latencies, config, layout),
            settings={"repeats": config.latency_repeats, "threads": config.threads},
        ),
        Stage(
            "report",
            "Write table, pictures and video",
            layout.results,
            function=partial(report.write_report, config, layout),
            settings={},
        ),
    ]
