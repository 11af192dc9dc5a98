"""`lerobot-sdm quickstart`: from nothing to a table of success rates, on this machine."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.experts import check_expert, default_expert, expert_class
from lerobot_sdm.measure.commands import CommandFailedError
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart import run_pipeline
from lerobot_sdm.measure.quickstart_report import terminal_table
from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.sizes import QUICKSTART_SIZES, SMALL, preset
from lerobot_sdm.measure.stages import chosen_threads
from lerobot_sdm.processes.threads import available_cores, default_threads


def quickstart(
    task: Annotated[str, typer.Option(help="A task, as `--env.task` of the other commands.")] = SMALL.task,
    env_type: Annotated[
        str, typer.Option(help="Environments, as `--env.type`; adroit and dexart have other tasks.")
    ] = SMALL.env_type,
    output: Annotated[Path, typer.Option(help="Folder for everything; an interrupted run goes on there.")] = Path(
        "outputs/quickstart"
    ),
    size: Annotated[str, typer.Option(help=f"Networks and trainings: {', '.join(QUICKSTART_SIZES)}.")] = "small",
    episodes: Annotated[int | None, typer.Option(help="Demonstrations to train on.")] = None,
    held_out_episodes: Annotated[int | None, typer.Option(help="Demonstrations on which actions are compared.")] = None,
    eval_episodes: Annotated[int | None, typer.Option(help="Episodes for each row of the table.")] = None,
    observations: Annotated[int | None, typer.Option(help="Observations on which actions are compared.")] = None,
    samples: Annotated[int | None, typer.Option(help="Chunks of actions sampled for each of them.")] = None,
    teacher_steps: Annotated[int | None, typer.Option(help="Training steps of the teacher.")] = None,
    student_steps: Annotated[int | None, typer.Option(help="Training steps of the student.")] = None,
    expert: Annotated[str | None, typer.Option(help="Who demonstrates; the task's own expert if absent.")] = None,
    expert_path: Annotated[Path | None, typer.Option(help="The file that the expert reads, if it reads one.")] = None,
    train_seed: Annotated[int | None, typer.Option(help="Seed of both trainings.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of each command; fewer than this process's cores if absent.")
    ] = None,
    device: Annotated[str, typer.Option(help="Torch device of trainings and policies.")] = "cpu",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all that the commands print.")] = False,
) -> None:
    """Record demonstrations, train a teacher, distil it into a one-step student, and measure all of them.

    Runs `lerobot-sdm record`, `lerobot-train`, `lerobot-eval` and `lerobot-sdm distance`, and shows each command
    before it runs. Interrupted, the same call goes on where it stopped.
    """
    given = {
        "episodes": episodes,
        "held_out_episodes": held_out_episodes,
        "eval_episodes": eval_episodes,
        "observations": observations,
        "samples": samples,
        "train_seed": train_seed,
        "threads": chosen_threads(output, threads, default_threads(available_cores())),
        "device": device,
    }
    config = preset(size, _single_task(env_type, task), env_type)
    config = replace(config, **{name: value for name, value in given.items() if value is not None})
    if expert is not None:
        config = replace(config, record=config.record | {"expert": expert})
    if expert_path is not None:
        config = replace(config, record=config.record | {"expert_path": str(expert_path)})
    _check_expert(config)
    if teacher_steps is not None:
        config = replace(config, teacher=replace(config.teacher, steps=teacher_steps))
    if student_steps is not None:
        config = replace(config, student=replace(config.student, steps=student_steps))

    console = Console()
    # A polite kill is treated like Ctrl-C: the running command is ended with this one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = run_pipeline(config, RunLayout(output), console, verbose)
    except CommandFailedError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        console.print("Once that is mended, the same command goes on from there.")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on from there.")
        raise typer.Exit(130) from None
    console.print(terminal_table(results))
    for name in ("table.md", "success.png", "cloud.png", "comparison.mp4", "results.json"):
        console.print(output / name)


def _single_task(env_type: str, task: str) -> str:
    """The short name of the one task that is meant.

    Raises:
        InputError: No such environments or task, or several tasks.
    """
    if env_type not in FAMILIES:
        raise unknown_name("--env-type", env_type, FAMILIES)
    tasks = FAMILIES[env_type].task_names(task)
    if len(tasks) != 1:
        raise InputError(f"--task={task} stands for {len(tasks)} tasks. Give a single one.")
    return tasks[0]


def _check_expert(config: RunSettings) -> None:
    """Find out now, not when recording begins, that no such expert can drive or that its ways do not add up."""
    name = config.record.get("expert") or default_expert(config.env_type, config.task)
    path = config.record.get("expert_path")
    check_expert(name, config.env_type, None if path is None else Path(path))
    variants = expert_class(name).variants
    for key in ("episodes", "held_out_episodes"):
        if getattr(config, key) % variants:
            raise InputError(
                f"{key}={getattr(config, key)}: expert '{name}' shows every start in {variants} ways. "
                f"Give a multiple of {variants}."
            )
