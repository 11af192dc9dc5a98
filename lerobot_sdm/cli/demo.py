"""`lerobot-sdm demo`: a trained teacher and its one-step student, to see in a minute."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lerobot_sdm.demo.pair import read_pair
from lerobot_sdm.errors import InputError, refuse_existing

VIDEO = Path("outputs/demo/comparison.mp4")


def demo(
    episodes: Annotated[int, typer.Option(help="Episodes for each policy, on seeds that none was trained on.")] = 5,
    filmed: Annotated[int, typer.Option(help="How many of them the video shows.")] = 3,
    output: Annotated[Path | None, typer.Option(help=f"Video to write; {VIDEO}, renewed, if absent.")] = None,
    pair: Annotated[
        Path | None, typer.Option(help="Folder of another pair, made by examples/maintenance/make_demo.py.")
    ] = None,
    render_size: Annotated[int, typer.Option(help="Height and width of each picture in the video.")] = 256,
    threads: Annotated[int, typer.Option(help="CPU threads; small networks are fastest with one.")] = 1,
) -> None:
    """Evaluate the trained pair that comes with this package, and write a video of teacher and student side by side.

    A diffusion teacher in ten network evaluations, the same teacher in one, and its distilled student in one do the
    same episodes of `detour`: pass a wall, on either side.
    """
    for name, value, least in (("episodes", episodes, 1), ("filmed", filmed, 0), ("threads", threads, 1)):
        if value < least:
            raise InputError(f"--{name}={value}: give a whole number of at least {least}.")
    if output is not None:
        refuse_existing("--output", output)
    if output is not None and output.suffix != ".mp4":
        raise InputError(f"--output={output}: give a file that ends in .mp4.")
    chosen = read_pair(pair)

    console = Console()
    with console.status("Loading torch and LeRobot"):
        # They take seconds to import; a mistyped option should not.
        import torch

        from lerobot_sdm.demo.run import perform, table_rows, write_side_by_side

    torch.set_num_threads(threads)
    seeds = list(range(chosen.first_seed, chosen.first_seed + episodes))
    performances = []
    with console.status("Acting") as status:
        for performance in perform(chosen, seeds, filmed, render_size):
            performances.append(performance)
            status.update(f"Acting: {len(performances)} of 3 policies have done their {episodes} episodes")
        video = output or VIDEO
        if filmed:
            status.update("Writing the video")
            write_side_by_side(performances, seeds, video)
    table = Table(
        title=f"{chosen.task}, seeds {seeds[0]} to {seeds[-1]}",
        caption="evaluated: success in the evaluation after its training; ms: a decision, median",
    )
    for column in ("policy", "success", "evaluated", "network evaluations", "ms"):
        table.add_column(column, justify="left" if column == "policy" else "right", no_wrap=True)
    for row in table_rows(chosen, performances):
        table.add_row(*row.values())
    console.print(table)
    if filmed:
        console.print(video, soft_wrap=True)
