"""Converts a store: plan, check, write blocks, assemble, read back, rename."""

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.utils.utils import SuppressProgressBars
from tqdm import tqdm

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.datasets.convert.assemble import assemble, provenance
from lerobot_sdm.datasets.convert.blocks import check_block, write_block
from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.lacks import lacks
from lerobot_sdm.datasets.convert.layouts import LAYOUTS, find_layout
from lerobot_sdm.datasets.convert.mapping import Choices, Entry, columns_of, complete, parse
from lerobot_sdm.datasets.convert.opening import holds_demonstrations, open_source, source_name
from lerobot_sdm.datasets.convert.plan import Block, Plan
from lerobot_sdm.datasets.convert.source import Store, checked_ends
from lerobot_sdm.datasets.convert.verify import verify, verify_block
from lerobot_sdm.datasets.disk import disk_full_is_an_input_error
from lerobot_sdm.datasets.names import check_new_dataset, named, only_writer
from lerobot_sdm.datasets.processes import Workers
from lerobot_sdm.datasets.write import new_dataset
from lerobot_sdm.errors import InputError, check_at_least
from lerobot_sdm.files import digest

logger = logging.getLogger(__name__)

PEEKED_ROWS = 64


@dataclass(frozen=True)
class ConvertConfig:
    """What to convert, and how. Every field is an option of `lerobot-sdm convert`.

    Attributes:
        source: zarr folder or zip file with `data/*` and `meta/episode_ends`, or RoboTwin's folder of HDF5 files.
        repo_id: Name of the dataset; defaults to `local/<store>`.
        root: Folder of the dataset, which must not exist yet; defaults to `data/<name>`.
        layout: Kind of store; defaults to a guess from its arrays.
        fps: Frames per second; known for some layouts.
        task: Description of the task; defaults to the store's name.
        mapping: `NAME=COLUMN` or `NAME[a:b]=COLUMN`, replacing the guess for that array.
        skip: Arrays to exclude.
        choices: How to store pictures, depth, and clouds.
        frame: Description of the cloud's coordinate frame; known for some layouts.
        unit: Unit of the cloud's coordinates.
        camera: Description of the camera; known for some layouts.
        crop: Description of the cloud's crop box; known for some layouts.
        fill_missing_chunks: Treat missing chunks as chunks of the fill value.
        workers: Number of processes. The dataset does not depend on it.
    """

    source: Path
    repo_id: str | None = None
    root: Path | None = None
    layout: str | None = None
    fps: int | None = None
    task: str | None = None
    mapping: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    choices: Choices = field(default_factory=Choices)
    frame: str | None = None
    unit: str = "m"
    camera: str | None = None
    crop: str | None = None
    fill_missing_chunks: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        # A dataset is named after its store, and "." is not a name.
        object.__setattr__(self, "source", named(self.source))

    def checked(self) -> "ConvertConfig":
        """This configuration with its names filled in.

        Raises:
            InputError: A value is invalid; nothing has been written.
        """
        for name in ("workers", "fps"):
            check_at_least(f"--{name}", getattr(self, name))
        repo_id = self.repo_id or f"local/{source_name(self.source)}"
        if not 1 <= len([part for part in repo_id.split("/") if part]) <= 2 or repo_id.count("/") > 1:
            raise InputError(f"--repo-id={repo_id}: must be NAME or USER/NAME.")
        root = self.root or Path("data") / repo_id.rpartition("/")[2]
        if holds_demonstrations(self.source) and root.resolve().is_relative_to(self.source.resolve()):
            raise InputError(
                f"--root={root}: is inside the store {self.source.name}, which must not change. Choose a folder "
                "outside the store."
            )
        check_new_dataset(root)
        return dataclasses.replace(self, repo_id=repo_id, root=root)


def make_plan(config: ConvertConfig) -> Plan:
    """Decide what the dataset will contain; reads the store's metadata and a few rows, and writes nothing.

    Raises:
        InputError: The store or the mapping is invalid.
    """
    store = open_source(config.source, config.skip)
    store.check_data(store.arrays, store.files(), config.fill_missing_chunks)
    layout_name = find_layout(
        config.layout or store.layout, {name: info.shape[1:] for name, info in store.arrays.items()}
    )
    layout = LAYOUTS[layout_name]
    entries = _entries(config, store, layout.mapping)
    fps = config.fps or layout.fps
    if fps is None:
        raise InputError(
            "--fps: is missing. LeRobot needs the frame rate, and the store does not contain it. Give the option."
        )
    columns = with_color_scale(store, columns_of(entries, store.arrays, config.choices), config.choices)
    facts: dict[str, Any] = {"layout": layout_name, "notes": layout.notes, "lacks": lacks(columns, store.arrays)}
    ends = checked_ends(store, [array for column in columns for array in column.arrays])
    for column in columns:
        if column.key == POINT_CLOUD:
            described = {
                "frame": config.frame or layout.frame or "not stated",
                "unit": config.unit,
                "colors": "0 to 255" if column.colors else None,
                "camera": config.camera or layout.camera or "not stated",
                "crop": config.crop or layout.crop or "not stated",
                "points": column.shape[0],
                "points_in_the_store": sum(part.shape[0] for part in column.parts),
            }
            if not (config.frame or config.camera or config.crop):
                facts["view"] = layout.view(column.shape[0])
            facts["clouds"] = {column.key: {key: value for key, value in described.items() if value is not None}}
    return Plan(store, tuple(columns), ends, fps, config.task or layout.task or _task(store.name, layout_name), facts)


def convert(config: ConvertConfig, plan: Plan | None = None) -> Path:
    """Convert a store into a LeRobotDataset and return its folder.

    The store is read twice: once to check all values before anything is written, and once to write them. Finished
    blocks are kept next to the dataset until it is complete: the same call, repeated after an interruption, resumes
    from them. The dataset appears at its root only when it is complete.

    Args:
        plan: Result of `make_plan(config)`, if already known.

    Raises:
        InputError: The store or an option is invalid, or the disk is full.
        RuntimeError: The dataset, read back, differs from the store.
    """
    config = config.checked()
    plan = plan or make_plan(config)
    files = plan.store.files()
    with tqdm(total=sum(files.values()), desc="hashing", unit="B", unit_scale=True) as bar:
        source = {"sha256": plan.store.digest(files, bar.update), "bytes": sum(files.values())}
    plan = dataclasses.replace(plan, facts=plan.facts | {"source": source})

    blocks = plan.blocks()
    folder = config.root.parent / f".{config.root.name}.converting-{_fingerprint(plan, config)}"
    with Workers(min(config.workers, len(blocks)), plan, verify_block.__module__) as workers, SuppressProgressBars():
        for other in set(config.root.parent.glob(f".{config.root.name}.converting-*")) - {folder}:
            logger.warning(
                "%s contains an unfinished conversion of something else. Remove it if you do not need it.", other
            )
        if not folder.exists():
            _run(workers, check_block, plan, blocks, "checking")
        with only_writer(folder), disk_full_is_an_input_error(config.root):
            _run(workers, write_block, plan, blocks, "writing", folder)
            with new_dataset(folder, config.root) as unfinished:
                assemble(plan, folder, unfinished, config.repo_id)
                try:
                    extents = _run(workers, verify_block, plan, blocks, "reading back", unfinished)
                    verify(plan, unfinished, config.repo_id, extents)
                except RuntimeError:
                    shutil.rmtree(folder)  # a repeated call must not reuse wrong blocks
                    raise
    return config.root


def _entries(config: ConvertConfig, store: Store, layout_mapping: Iterable[str]) -> list[Entry]:
    """The mapping of each array: from the user, else from the layout, else a guess."""
    entries = parse(config.mapping, store.arrays)
    given, taken = {entry.array for entry in entries}, {entry.key for entry in entries}
    known = parse(layout_mapping, store.arrays)
    entries += [entry for entry in known if entry.array not in given and entry.key not in taken]
    return complete(entries, store.arrays, store.optional)


def with_color_scale(store: Store, columns: Iterable[Column], choices: Choices) -> list[Column]:
    """The columns with `unit_colors` set."""
    return [
        dataclasses.replace(column, unit_colors=column.colors is not None and _has_unit_colors(store, column, choices))
        for column in columns
    ]


def _has_unit_colors(store: Store, column: Column, choices: Choices) -> bool:
    """Whether the colors of a column are in [0, 1]: as given, else judged by the first rows of its arrays."""
    arrays = {part: store.arrays[part.array] for part in column.parts}
    if any(info.dtype == np.uint8 for info in arrays.values()):
        return False
    if choices.color_range is not None:
        return choices.color_range == "0-1"
    if any(info.dtype.kind != "f" for info in arrays.values()):
        return False
    peeked = {part: store.reader(part.array).read(0, min(PEEKED_ROWS, info.shape[0])) for part, info in arrays.items()}
    return all(np.max(column.colors_of(part, rows), initial=0) <= 1 for part, rows in peeked.items())


def _task(name: str, layout: str) -> str:
    """The task in a file name of DP3: `metaworld_drawer-open_expert` is `drawer-open`."""
    return name.removeprefix(f"{layout.partition('-')[0]}_").removesuffix("_expert")


def _run(workers: Workers, task: Callable, plan: Plan, blocks: list[Block], title: str, *arguments: Any) -> list[Any]:
    results = []
    with tqdm(total=plan.frames, desc=title, unit="frame") as bar:
        for block, result in zip(blocks, workers.map(task, blocks, *arguments), strict=True):
            results.append(result)
            start, stop = plan.span_of(block)
            bar.update(stop - start)
    return results


def _fingerprint(plan: Plan, config: ConvertConfig) -> str:
    """Hash of everything that determines the blocks, so that blocks of another conversion are not reused."""
    return digest([provenance(plan), plan.block_bytes, plan.block_episodes, config.root.name])
