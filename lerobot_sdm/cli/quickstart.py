"""`lerobot-sdm quickstart`: from demonstrations to a table of success rates on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lerobot_sdm.cli.running import running_commands
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.experts import check_expert, check_variants
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart import run_pipeline
from lerobot_sdm.measure.quickstart_report import report
from lerobot_sdm.measure.settings import RunSettings
from lerobot_sdm.measure.sizes import QUICKSTART_SIZES, SMALL, preset, with_steps
from lerobot_sdm.measure.stages import chosen_threads
from lerobot_sdm.processes.threads import available_cores, default_threads


def quickstart(
    task: Annotated[str, typer.Option(help="Task, as `--env.task` of the other commands.")] = SMALL.task,
    env_type: Annotated[
        str, typer.Option(help="Environment type, as `--env.type`; adroit and dexart have other tasks.")
    ] = SMALL.env_type,
    output: Annotated[Path, typer.Option(help="Output folder; rerun to resume.")] = Path("outputs/quickstart"),
    size: Annotated[
        str, typer.Option(help=f"Size of networks and trainings: {', '.join(QUICKSTART_SIZES)}.")
    ] = "small",
    episodes: Annotated[int | None, typer.Option(help="Demonstrations to train on.")] = None,
    held_out_episodes: Annotated[
        int | None, typer.Option(help="Held-out demonstrations for comparing actions.")
    ] = None,
    eval_episodes: Annotated[int | None, typer.Option(help="Episodes per row of the table.")] = None,
    observations: Annotated[int | None, typer.Option(help="Observations for comparing actions.")] = None,
    samples: Annotated[int | None, typer.Option(help="Action chunks sampled per observation.")] = None,
    teacher_steps: Annotated[int | None, typer.Option(help="Training steps of the teacher.")] = None,
    student_steps: Annotated[int | None, typer.Option(help="Training steps of the student.")] = None,
    expert: Annotated[str | None, typer.Option(help="Expert that demonstrates. Default: the task's own.")] = None,
    expert_path: Annotated[Path | None, typer.Option(help="File for an expert that reads one.")] = None,
    train_seed: Annotated[int | None, typer.Option(help="Seed for all trainings.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads per command. Default: fewer than the available cores.")
    ] = None,
    device: Annotated[str, typer.Option(help="Torch device for training and evaluation.")] = "cpu",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the commands' full output.")] = False,
) -> None:
    """Record demonstrations, train a teacher, distill it into a one-step student, and evaluate all of them.

    Runs `lerobot-sdm record`, `lerobot-train`, `lerobot-eval` and `lerobot-sdm distance`, and shows each command
    before it runs. Rerun the same command to resume after an interruption.
    """
    given: dict[str, Any] = {
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
        config = replace(config, student=with_steps(config.student, student_steps))

    console = Console()
    with running_commands(console):
        results = run_pipeline(config, RunLayout(output), console, verbose)
    console.print(report(results).terminal())
    for name in ("table.md", "success.png", "cloud.png", "comparison.mp4", "results.json"):
        console.print(output / name)


def _single_task(env_type: str, task: str) -> str:
    """The short name of the single task that the options name.

    Raises:
        InputError: The environment type or task is unknown, or several tasks match.
    """
    check_known("--env-type", env_type, FAMILIES)
    tasks = FAMILIES[env_type].task_names(task)
    if len(tasks) != 1:
        raise InputError(f"--task={task}: stands for {len(tasks)} tasks. Give a single one.")
    return tasks[0]


def _check_expert(config: RunSettings) -> None:
    """Refuse an unknown expert, or episode counts that it cannot serve, before recording starts."""
    name = config.expert
    path = config.record.get("expert_path")
    check_expert(name, config.env_type, None if path is None else Path(path))
    check_variants("--episodes", config.episodes, name)
    check_variants("--held-out-episodes", config.held_out_episodes, name)
