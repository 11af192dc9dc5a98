"""`lerobot-sdm convert`: convert a demonstration store into a LeRobot dataset."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lerobot_sdm.errors import refuse_existing
from lerobot_sdm.processes.threads import available_cores


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="A zarr v2 or v3 store (folder or zip), or a folder of RoboTwin HDF5 files.", metavar="SOURCE"
        ),
    ],
    repo_id: Annotated[str | None, typer.Option(help="Dataset name. Default: local/<store>.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder to create. Default: data/<name>.")] = None,
    layout: Annotated[str | None, typer.Option(help="Layout of the store. Default: inferred from its arrays.")] = None,
    fps: Annotated[int | None, typer.Option(help="Frames per second. Default: the layout's, if known.")] = None,
    task: Annotated[str | None, typer.Option(help="The task in words. Default: from the store's name.")] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            help="NAME=COLUMN, NAME[a:b]=COLUMN or NAME[i]=COLUMN, overriding the inferred one; several are joined.",
        ),
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="An array to leave out. Repeatable.")] = None,
    images: Annotated[str, typer.Option(help="image (PNG, lossless), video, or skip.")] = "image",
    depth: Annotated[str, typer.Option(help="image (TIFF, lossless), array, or skip.")] = "image",
    color_range: Annotated[
        str | None, typer.Option(help="Range of non-uint8 colors: 0-255, 0-1, or none. Default: inferred.")
    ] = None,
    resample_points: Annotated[int | None, typer.Option(help="Subsample clouds to this many points.")] = None,
    frame: Annotated[str | None, typer.Option(help="Coordinate frame of the cloud, in words, for the card.")] = None,
    unit: Annotated[str, typer.Option(help="Unit of the cloud, for the card.")] = "m",
    camera: Annotated[str | None, typer.Option(help="The camera, in words, for the card.")] = None,
    crop: Annotated[str | None, typer.Option(help="The cloud's crop box, in words, for the card.")] = None,
    fill_missing_chunks: Annotated[
        bool, typer.Option(help="Treat missing chunks as filled with the fill value.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Worker processes. Default: one per core.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show the planned mapping, and exit.")] = False,
) -> None:
    """Convert a demonstration store (zarr with data/* and meta/episode_ends, or RoboTwin's HDF5) into a LeRobot
    dataset, without loss.

    Infers from names and shapes which array becomes which column, and shows the mapping. Rerun the same command to
    resume after an interruption.

    lerobot-sdm convert metaworld_drawer-open_expert.zarr --repo-id local/drawer-open
    """
    # Paths inside the store are refused later, with a message of their own.
    if root is not None and not root.resolve().is_relative_to(source.resolve()):
        refuse_existing("--root", root)

    # Imported late: torch and LeRobot take seconds, and a mistyped option should fail at once.
    from lerobot.configs.video import infer_depth_unit

    from lerobot_sdm.datasets.convert.assemble import STORED_AS
    from lerobot_sdm.datasets.convert.mapping import Choices
    from lerobot_sdm.datasets.convert.run import ConvertConfig, make_plan
    from lerobot_sdm.datasets.convert.run import convert as convert_store

    config = ConvertConfig(
        source=source,
        repo_id=repo_id,
        root=root,
        layout=layout,
        fps=fps,
        task=task,
        mapping=tuple(mapping or ()),
        skip=tuple(skip or ()),
        choices=Choices(images, depth, color_range, resample_points),
        frame=frame,
        unit=unit,
        camera=camera,
        crop=crop,
        fill_missing_chunks=fill_missing_chunks,
        workers=available_cores() if workers is None else workers,
    ).checked()
    plan = make_plan(config)

    console = Console()
    table = Table("array", "of each row", "column", "stored as")
    for column in plan.columns:
        infos = [plan.store.arrays[part.array] for part in column.parts]
        stored = f"{column.dtype.name} {column.shape}, {STORED_AS[column.kind]}"
        stored += f", assumed to be {infer_depth_unit(column.dtype)}" if column.kind == "depth" else ""
        stored += ", transposed to (points, channels)" if column.is_turned else ""
        stored += ", colors times 255" if column.unit_colors else ""
        stored += ", resampled" if column.points else ""
        rows = "\n".join(f"{info.dtype.name} {info.shape[1:]}" for info in infos)
        table.add_row("\n".join(part.origin for part in column.parts), rows, column.key, stored)
    console.print(table)
    for sentence in plan.facts.get("lacks", ()):
        console.print(f"Note: {sentence}", markup=False, style="yellow")
    console.print(
        f"{plan.store.kind}, layout {plan.facts['layout']}: {len(plan.ends)} episodes, {plan.frames} frames at "
        f"{plan.fps} Hz, task '{plan.task}'.",
        markup=False,
    )
    if not dry_run:
        folder = convert_store(config, plan)
        typer.echo(f"Converted {folder}")
