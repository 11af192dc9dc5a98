"""`lerobot-sdm benchmark`: run methods on a suite of tasks and write one page of results."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lerobot_sdm.cli.running import print_error, running_commands
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
    output: Annotated[Path | None, typer.Option(help="Output folder; rerun to resume or extend.")] = None,
    methods: Annotated[
        str | None, typer.Option(help=f"Comma-separated, from {','.join(METHODS)}. Default: all; in smoke, three.")
    ] = None,
    tasks: Annotated[str | None, typer.Option(help="Comma-separated tasks of the suite. Default: all.")] = None,
    protocol: Annotated[
        str, typer.Option(help=f"How to evaluate: {', '.join(PROTOCOLS)}, or both, comma-separated.")
    ] = "strict",
    paper_methods: Annotated[
        str | None, typer.Option(help="Methods to also evaluate with protocol paper. Default: all of --methods.")
    ] = None,
    env_view: Annotated[
        str | None, typer.Option(help="Point-cloud view, as --env.view. Default: the environment's.")
    ] = None,
    size: Annotated[str | None, typer.Option(help=f"{', '.join(SIZES)}. Default: small; in smoke, tiny.")] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Episodes of each strict evaluation. Default: 100; in smoke, 4.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Training seeds, such as 0,1,2.")] = "1",
    data: Annotated[
        Path | None, typer.Option(help="Folder with DP3's zarr stores. Default: record demonstrations.")
    ] = None,
    experts: Annotated[
        Path | None, typer.Option(help="Folder with DAPG's policies, to record Adroit by them. Default: by planning.")
    ] = None,
    with_expert: Annotated[
        bool, typer.Option("--with-expert", help="Also run the demonstrating expert on the strict episodes.")
    ] = False,
    device: Annotated[str, typer.Option(help="Torch device for training and evaluation.")] = "cpu",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads per command. Default: what the other jobs leave free.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Cells to run in parallel.")] = 1,
    gpus: Annotated[
        str | None, typer.Option(help="GPUs to spread cells over, such as 0,1,2,3; needs --device=cuda.")
    ] = None,
    engine: Annotated[str, typer.Option(help=f"Where cells run: {', '.join(ENGINES)}.")] = "local",
    submitit_cluster: Annotated[str, typer.Option(help=f"Where submitit submits: {', '.join(CLUSTERS)}.")] = "slurm",
    submitit_parameter: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for submitit, such as timeout_min=600; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print cells and commands, and exit.")] = False,
    render: Annotated[
        Path | None,
        typer.Option(
            help="Only write the page for this folder from its finished cells. With --output, copy the cells of its "
            "complete tasks there and write the page for those."
        ),
    ] = None,
) -> None:
    """Run methods on a suite of tasks: one cell per task, method and training seed, and one page of results.

    A cell records or converts demonstrations, trains, evaluates and measures with LeRobot's own commands, and shares
    what it can with other cells. Rerun the same command to resume after an interruption, or rerun it with more tasks,
    methods, seeds or protocols to extend the benchmark.

    lerobot-sdm benchmark --suite=dp3-37 --methods=dp3-10,sdm --tasks=hammer,assembly --output=outputs/dp3-37
    """
    if render is not None:
        _render(render, output)
        return
    if suite is None:
        raise InputError(f"--suite: is missing. Give one of {', '.join(SUITES)}.")
    root = output or Path("outputs/benchmark") / suite
    # Submitted cells run on machines whose core count is unknown here.
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
        experts=experts,
    )
    if gpus is not None and device != "cuda":
        raise InputError(f"--gpus={gpus}: needs --device=cuda, which each cell resolves to the GPU assigned to it.")
    parameters = parse_parameters(submitit_parameter or [])
    where = Engine(engine, jobs, submitit_cluster, parameters, gpus=_names("--gpus", gpus) or ())
    _dry_run(chosen) if dry_run else _run(chosen, where, with_expert)


def _run(chosen: Benchmark, where: Engine, with_expert: bool) -> None:
    from lerobot_sdm.measure.run_benchmark import run_benchmark

    console = Console()
    with running_commands(console):
        outcome = run_benchmark(chosen, where, console, with_expert)
    for cell, error in outcome.failed:
        print_error(console, f"{cell.key}: {error}")
    if outcome.skipped:
        console.print(f"Skipped because they depend on what failed: {', '.join(cell.key for cell in outcome.skipped)}")
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
    from lerobot_sdm.measure.benchmark_export import export_benchmark
    from lerobot_sdm.measure.run_benchmark import render

    if output is not None:
        tasks = export_benchmark(folder, output)
        typer.echo(f"{len(tasks)} complete tasks: {', '.join(tasks)}")
        folder = output
    render(folder)
    typer.echo(folder / "results.md")


def _names(option: str, text: str | None) -> tuple[str, ...] | None:
    """Split comma-separated names.

    Raises:
        InputError: There are none.
    """
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not names:
        raise InputError(f"{option}={text}: names nothing. Give comma-separated names, or drop the option.")
    return names or None


def _seeds(text: str) -> tuple[int, ...]:
    """Parse comma-separated training seeds.

    Raises:
        InputError: A seed is not an integer.
    """
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise InputError(
            f"--seeds={text}: not a list of integers. Give comma-separated seeds, such as 0,1,2."
        ) from error
