"""`lerobot-sdm view`: look at one episode of a dataset or of a demonstration store."""

import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lerobot_sdm.datasets.names import stem
from lerobot_sdm.errors import InputError, check_at_least

FOLDER = Path("outputs/view")


def view(
    source: Annotated[
        str, typer.Argument(help="A dataset's folder, a demonstration store, or a dataset's name on the Hub.")
    ],
    episode: Annotated[int, typer.Option(help="Which episode.")] = 0,
    rrd: Annotated[Path | None, typer.Option(help="Write a Rerun recording to this file.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write a contact sheet to this file.")] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it to a browser, which may be on another machine.")
    ] = False,
    cameras: Annotated[
        Path | None, typer.Option(help="Make clouds from depth images, with the cameras and crop in this file.")
    ] = None,
    moments: Annotated[int, typer.Option(help="Columns of the contact sheet.")] = 6,
    fps: Annotated[float | None, typer.Option(help="Frames per second, for a store that does not say.")] = None,
    port: Annotated[int, typer.Option(help="Port of --serve for Rerun viewers.")] = 9876,
    web_port: Annotated[int, typer.Option(help="Port of --serve for browsers.")] = 9090,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Show an episode: its cloud over time, images, robot state and actions.

    Opens the Rerun viewer. Without a display, writes an .rrd file and a PNG contact sheet to outputs/view instead.

    lerobot-sdm view data/drawer-open --episode=3
    """
    check_at_least("--moments", moments)
    if fps is not None and fps <= 0:
        raise InputError(f"--fps={fps}: give frames per second above 0.")
    show = not (rrd or png or serve) and has_screen()
    if not (rrd or png or serve or show):
        rrd, png = (FOLDER / f"{stem(Path(source))}_episode_{episode}.{kind}" for kind in ("rrd", "png"))
        # The user did not name these two files, so they may be overwritten.
        overwrite = True
    for option, file, suffix in (("--rrd", rrd, ".rrd"), ("--png", png, ".png")):
        if file is not None and file.suffix != suffix:
            raise InputError(f"{option}={file}: give a file that ends in {suffix}.")
        if file is not None and file.exists() and not overwrite:
            raise InputError(f"{option}={file}: already exists. Give another name, or add --overwrite.")

    # Imported late: torch, LeRobot and Rerun take seconds, and a mistyped option should fail at once.
    from lerobot_sdm.processors.depth_config import read_depth_config
    from lerobot_sdm.viewing.palette import Scene
    from lerobot_sdm.viewing.sources import open_episode

    opened = open_episode(source, episode, read_depth_config(cameras) if cameras else None, fps)
    first = opened.clouds[:1]
    scene = Scene.of([opened.read(index)[key] for key in first for index in opened.moments(moments)], opened.viewpoint)
    console = Console()
    for label, text in opened.facts.items():
        console.print(f"{label}: {text}", markup=False, highlight=False, soft_wrap=True)
    for sentence in opened.notes:
        console.print(f"Note: {sentence}", markup=False, style="yellow", soft_wrap=True)
    if png is not None:
        from lerobot_sdm.viewing.contact_sheet import contact_sheet

        contact_sheet(opened, scene, png, moments)
        console.print(png, soft_wrap=True)
    if rrd is not None or show or serve:
        from lerobot_sdm.viewing import rerun_log

        if rrd is not None:
            rerun_log.save(opened, scene, rrd)
            console.print(f"{rrd}  (look at it with: rerun {rrd})", soft_wrap=True, highlight=False)
        if show:
            rerun_log.show(opened, scene)
        if serve:
            address = rerun_log.serve(opened, scene, port, web_port)
            console.print(f"Browser: http://localhost:{web_port}/?url={address}", soft_wrap=True, highlight=False)
            console.print(f"Viewer:  rerun {address}", soft_wrap=True, highlight=False)
            _wait(console)


def has_screen() -> bool:
    """Whether a window can be opened here."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _wait(console: Console) -> None:
    console.print("Press Ctrl-C to stop.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("Ended.")
