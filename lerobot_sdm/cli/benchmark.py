"""`lerobot-sdm benchmark`: methods on a suite of tasks, cell by cell, into one page."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.benchmark import Benchmark, make_benchmark
from lerobot_sdm.measure.engines import CLUSTERS, ENGINES, Engine, parse_parameters
from lerobot_sdm.measure.methods import METHODS
from lerobot_sdm.measure.protocols import PROTOCOLS
from lerobot_sdm.measure.sizes import SIZES
from lerobot_sdm.measure.stages import chosen_threads
from lerobot_sdm.measure.suites import SUITES
from lerobot_sdm.processes.threads import available_cores, default_threads


def benchmark(
    suite: Annotated[str | None, typer.Option(help=f"Tasks: {', '.join(SUITES)}.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder; an interrupted or extended benchmark goes on.")] = None,
    methods: Annotated[str | None, typer.Option(help=f"Some of {','.join(METHODS)}; all if absent.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Some tasks of the suite, with commas between.")] = None,
    protocol: Annotated[
        str, typer.Option(help=f"How to evaluate: {', '.join(PROTOCOLS)}, or both, with a comma between.")
    ] = "strict",
    paper_methods: Annotated[
        str | None, typer.Option(help="Methods that protocol paper is for, too; all of --methods if absent.")
    ] = None,
    env_view: Annotated[
        str | None, typer.Option(help="What clouds show, as --env.view; the environment's default if absent.")
    ] = None,
    size: Annotated[str | None, typer.Option(help=f"{', '.join(SIZES)}; small if absent.")] = None,
    episodes: Annotated[int | None, typer.Option(help="Episodes of a strict evaluation; 100 if absent.")] = None,
    seeds: Annotated[str, typer.Option(help="Training seeds, such as 0,1,2.")] = "1",
    data: Annotated[Path | None, typer.Option(help="Folder of DP3's zarr stores; recorded if absent.")] = None,
    device: Annotated[str, typer.Option(help="Torch device of trainings and policies.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of each command; of cores that jobs leave free if absent.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Cells that run at once.")] = 1,
    gpus: Annotated[
        str | None, typer.Option(help="GPUs that cells are spread over, such as 0,1,2,3; with --device=cuda.")
    ] = None,
    engine: Annotated[str, typer.Option(help=f"Where cells run: {', '.join(ENGINES)}.")] = "local",
    submitit_cluster: Annotated[str, typer.Option(help=f"What submitit submits to: {', '.join(CLUSTERS)}.")] = "slurm",
    submitit_parameter: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for submitit, such as timeout_min=600; repeatedly.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print cells and commands.")] = False,
    render: Annotated[
        Path | None,
        typer.Option(
            help="Only write the page of this folder, from its finished cells; with --output, copy the cells of its "
            "whole tasks there and write the page of these."
        ),
    ] = None,
) -> None:
    """Measure methods on a suite of tasks: one cell for each task, method and training seed, and one page of all.

    A cell records or converts demonstrations, trains, evaluates and measures, by LeRobot's own commands, and shares
    what it can with others. Interrupted at any time, the same call goes on; with more tasks, methods, seeds or
    protocols, too.

    lerobot-sdm benchmark --suite=dp3-37 --methods=dp3-10,sdm --tasks=hammer,assembly --output=outputs/dp3-37
    """
    if render is not None:
        _render(render, output)
        return
    if suite is None:
        raise InputError(f"--suite: is missing. Give one of {', '.join(SUITES)}.")
    root = output or Path("outputs/benchmark") / suite
    # What is submitted runs on machines that are not known here.
    default = 1 if engine == "submitit" else default_threads(available_cores() // max(1, jobs))
    chosen = make_benchmark(
        root=root,
        suite=suite,
        size=size,
        tasks=_names("--tasks", tasks),
        methods=_names("--methods", methods),
        protocols=_names("--protocol", protocol),
        paper_methods=_names("--paper-methods", paper_methods),
        view=env_view,
        training_seeds=_seeds(seeds),
        episodes=episodes,
        device=device,
        threads=chosen_threads(root, threads, default),
        data=data,
    )
    if gpus is not None and device != "cuda":
        raise InputError(f"--gpus={gpus}: goes with --device=cuda, which each cell takes as the GPU that it is given.")
    parameters = parse_parameters(submitit_parameter or [])
    where = Engine(engine, jobs, submitit_cluster, parameters, gpus=_names("--gpus", gpus) or ())
    _dry_run(chosen) if dry_run else _run(chosen, where)


def _run(chosen: Benchmark, where: Engine) -> None:
    from lerobot_sdm.measure.commands import CommandFailedError
    from lerobot_sdm.measure.run_benchmark import run_benchmark

    console = Console()
    # A polite kill is treated like Ctrl-C: running commands are ended with this one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        outcome = run_benchmark(chosen, where, console)
    except CommandFailedError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on from there.")
        raise typer.Exit(130) from None
    for cell, error in outcome.failed:
        console.print(f"{cell.key}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    if outcome.skipped:
        console.print(f"Not tried, since they need what failed: {', '.join(cell.key for cell in outcome.skipped)}")
    if (page := chosen.root / "results.md").exists():
        console.print(page)
    if outcome.failed:
        raise typer.Exit(1)


def _dry_run(chosen: Benchmark) -> None:
    """Print every cell and, once, every command."""
    from lerobot_sdm.measure.cell_stages import layout_of, stages
    from lerobot_sdm.measure.commands import format_command

    shown: set[Path] = set()
    for cell in chosen.cells():
        typer.echo(f"# {cell.key}")
        for stage in stages(chosen, cell):
            place = layout_of(chosen, cell.task).root / stage.name
            if place not in shown:
                shown.add(place)
                typer.echo(format_command(stage.command) if stage.command else f"# {stage.title}")


def _render(folder: Path, output: Path | None) -> None:
    from lerobot_sdm.measure.export import export
    from lerobot_sdm.measure.run_benchmark import render

    if output is not None:
        tasks = export(folder, output)
        typer.echo(f"{len(tasks)} whole tasks: {', '.join(tasks)}")
        folder = output
    render(folder)
    typer.echo(folder / "results.md")


def _names(option: str, text: str | None) -> tuple[str, ...] | None:
    """Names with commas between.

    Raises:
        InputError: There are none.
    """
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not names:
        raise InputError(f"{option}={text}: names nothing. Give names with commas between, or leave it out.")
    return names or None


def _seeds(text: str) -> tuple[int, ...]:
    """Training seeds.

    Raises:
        InputError: One is no whole number.
    """
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise InputError(f"--seeds={text}: give whole numbers with commas between, such as 0,1,2.") from error
