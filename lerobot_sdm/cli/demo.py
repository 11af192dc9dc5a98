"""`lerobot-sdm demo`: watch a trained teacher and its one-step student."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lerobot_sdm.demo.pair import read_pair
from lerobot_sdm.errors import InputError, check_at_least, refuse_existing

VIDEO = Path("outputs/demo/comparison.mp4")


def demo(
    episodes: Annotated[int, typer.Option(help="Episodes per policy, on seeds that no policy was trained on.")] = 5,
    filmed: Annotated[int, typer.Option(help="How many of them to film.")] = 3,
    output: Annotated[Path | None, typer.Option(help=f"Video to write. Default: {VIDEO}, overwritten.")] = None,
    pair: Annotated[
        Path | None, typer.Option(help="Folder of another pair, from examples/maintenance/make_demo.py.")
    ] = None,
    render_size: Annotated[int, typer.Option(help="Height and width of each panel, in pixels.")] = 256,
    threads: Annotated[int, typer.Option(help="CPU threads; small networks are fastest with one.")] = 1,
) -> None:
    """Run the trained pair that ships with this package, and write a video of teacher and student side by side.

    A diffusion teacher with ten network evaluations, the same teacher with one, and its distilled student with one
    run the same episodes of `detour`: pass a wall, on either side.
    """
    check_at_least("--episodes", episodes)
    check_at_least("--filmed", filmed, 0)
    check_at_least("--threads", threads)
    refuse_existing("--output", output)
    if output is not None and output.suffix != ".mp4":
        raise InputError(f"--output={output}: give a file that ends in .mp4.")
    chosen = read_pair(pair)

    console = Console()
    with console.status("Loading torch and LeRobot"):
        # Imported late: they take seconds, and a mistyped option should fail at once.
        import torch

        from lerobot_sdm.demo.run import perform, table_row, write_side_by_side

    torch.set_num_threads(threads)
    seeds = list(range(chosen.first_seed, chosen.first_seed + episodes))
    performances = []
    with console.status("Acting") as status:
        for performance in perform(chosen, seeds, filmed, render_size):
            performances.append(performance)
            status.update(f"Running: {len(performances)} of 3 policies have finished their {episodes} episodes")
        video = output or VIDEO
        if filmed:
            status.update("Writing the video")
            write_side_by_side(performances, seeds, video)
    table = Table(
        title=f"{chosen.task}, seeds {seeds[0]} to {seeds[-1]}",
        caption="evaluated: success in the evaluation after training; ms: median per decision",
    )
    for column in ("policy", "success", "evaluated", "network evaluations", "ms"):
        table.add_column(column, justify="left" if column == "policy" else "right", no_wrap=True)
    for performance in performances:
        table.add_row(*table_row(chosen, performance))
    console.print(table)
    if filmed:
        console.print(video, soft_wrap=True)
