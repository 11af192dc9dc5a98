"""Run a quickstart: its stages in order."""

import os
from dataclasses import replace
from functools import partial
from typing import Any

from rich.console import Console

from lerobot_sdm.files import read_json
from lerobot_sdm.measure import measurements, plan, quickstart_report
from lerobot_sdm.measure.estimate import sized
from lerobot_sdm.measure.methods import QUICKSTART_RUNS, ROWS
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.runner import run_warm, shared_variables
from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.sizes import regression_of
from lerobot_sdm.measure.stages import Stage, claimed_folder, finished_stage


def run_pipeline(config: RunSettings, layout: RunLayout, console: Console, verbose: bool = False) -> dict[str, Any]:
    """Run a quickstart's unfinished stages.

    Args:
        layout: Its folder: new, empty, or from an earlier call with the same settings.
        verbose: Show the commands' full output.

    Returns:
        Content of `results.json`.

    Raises:
        InputError: If the folder belongs to something else or a setting changed.
        CommandFailedError: If a command fails.
    """
    with claimed_folder(layout.root, config.settings()):
        return _run(config, layout, console, verbose)


def _run(config: RunSettings, layout: RunLayout, console: Console, verbose: bool) -> dict[str, Any]:
    """`run_pipeline` in a locked folder."""
    variables, stages = shared_variables(config.threads), all_stages(config, layout)
    if not all(finished_stage(stage, layout.root) for stage in stages):
        layout.results.unlink(missing_ok=True)  # Of the time before one of its stages was deleted.
    console.print("You can copy each command below; prefix it with `uv run` if the environment is not active.")
    console.print("export " + " ".join(f"{key}={value}" for key, value in variables.items()), style="cyan")
    run_warm(stages, layout.root, console, os.environ | variables, verbose)
    return read_json(layout.results)


def all_stages(config: RunSettings, layout: RunLayout) -> list[Stage]:
    """The stages of a run, with those that others wait for first."""
    # Runs beside the training, which has the other cores.
    held_out = replace(config, record=config.record | {"workers": 1}) if "workers" in config.record else config
    # Used by one stage at a time: the GPU's memory may not hold more.
    device = "" if config.device == "cpu" else config.device
    training = partial(
        plan.training_stage,
        config,
        layout,
        seed=config.train_seed,
        name_of=QUICKSTART_RUNS.__getitem__,
        cores=config.threads,
        device=device,
    )
    stages = [
        plan.record_stage(config, layout, needs=(), cores=config.record.get("workers", 1)),
        training("dp3", config.teacher, title="Train the teacher", needs=("record",)),
        plan.record_stage(held_out, layout, held_out=True, needs=()),
        Stage(
            "check_held_out",
            "Check that there are enough held-out observations",
            layout.held_out / "frames.json",
            function=partial(measurements.check_held_out, config, layout),
            settings={"observations": config.observations},
            needs=("record_held_out",),
        ),
        Stage(
            "evaluate_expert",
            "Measure the expert on the evaluation's seeds",
            layout.expert,
            function=partial(measurements.measure_expert, config, layout),
            settings={
                "env": config.env,
                "rules": config.other_rules,
                "record": config.record,
                "seed": config.eval_seed,
            },
            needs=(),
        ),
        training("sdm", config.student, title="Distill the student", needs=("train_teacher",)),
        training(
            "regression",
            regression_of(config.student),
            title="Distill the control, a student that imitates the teacher alone",
            needs=("train_teacher",),
        ),
        Stage(
            "distances",
            "Compare action distributions with the teacher's",
            layout.distances,
            plan.distance_command(config, layout),
            whole=True,
            needs=("check_held_out", "train_student", "train_regression"),
            device=device,
        ),
        *(
            Stage(
                f"evaluate_{row.key}" + (f"_{rule}" if rule else ""),
                f"Evaluate: {row.label}" + (f" ({rule})" if rule else ""),
                layout.evaluation(row.key, rule),
                plan.evaluate_command(config, layout, row, rule),
                needs=(f"train_{row.run}",),
                device=device,
            )
            for row in ROWS
            for rule in (None, *config.other_rules)
        ),
        Stage(
            "latency",
            "Time action chunks",
            layout.latency,
            function=partial(measurements.measure_latencies, config, layout),
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
