"""Reads a converted dataset back and compares it with its source."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import DEFAULT_DATA_PATH, DEFAULT_VIDEO_PATH
from lerobot.datasets.video_utils import decode_video_frames
from numpy.typing import NDArray

from lerobot_sdm.datasets.cached import to_numpy
from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.plan import Block, Plan
from lerobot_sdm.datasets.write import VIDEO_BACKEND

# Video is lossy: limit of a frame's mean difference, relative to the full range.
VIDEO_TOLERANCE = 0.1
MEAN_TOLERANCE = 1e-4  # relative to the largest value; LeRobot sums in float32


class Extent(NamedTuple):
    """Minimum, maximum, sum, and count of a column's values in one block, per entry of the last axis, in float64."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]
    count: int


def verify_block(plan: Plan, block: Block, root: Path) -> dict[str, Extent]:
    """Read a block's data file; compare the first, the last, and a random frame of each episode bit for bit.

    Returns:
        The extent of every numeric column over all frames of the block.

    Raises:
        RuntimeError: Something is missing or different.
    """
    place = block.place
    file = pq.ParquetFile(root / DEFAULT_DATA_PATH.format(**place))
    first_row, last_row = plan.span_of(block)
    if file.metadata.num_rows != last_row - first_row:
        raise RuntimeError(f"{root}: file {block.index} has {file.metadata.num_rows} frames after writing.")
    rng = np.random.default_rng(block.index)
    readers = plan.readers()
    extents: dict[str, list[Extent]] = {column.key: [] for column in plan.columns if not column.is_picture}
    spans = [plan.span(episode) for episode in block.episodes]
    tables = _episode_tables(file, [stop - start for start, stop in spans])
    for episode, (start, stop), table in zip(block.episodes, spans, tables, strict=True):
        same = table.num_rows == stop - start
        same = same and np.array_equal(table.column("index").to_numpy(), np.arange(start, stop))
        same = same and np.array_equal(table.column("episode_index").to_numpy(), np.full(stop - start, episode))
        if not same:
            raise RuntimeError(f"{root}: episode {episode} has different frames after writing.")
        picked = sorted({0, int(rng.integers(stop - start)), stop - start - 1})
        for column in plan.columns:
            expected = column.values({name: readers[name].read(start, stop)[picked] for name in column.arrays})
            if column.kind == "video":
                path = root / DEFAULT_VIDEO_PATH.format(video_key=column.key, **place)
                begin, _ = plan.video_span(block, episode)
                _check_video(path, [begin + row / plan.fps for row in picked], expected)
                continue
            stored = table.column(column.key)
            if column.is_picture:
                found = column.decode([stored[row].as_py() for row in picked])
            else:
                values = to_numpy(stored, column.shape)
                extents[column.key].append(_extent(values))
                found = values[picked]
            if found.dtype != expected.dtype or found.tobytes() != expected.tobytes():
                raise RuntimeError(f"{root}: '{column.key}' of episode {episode} differs after writing.")
    return {key: _sum(parts) for key, parts in extents.items()}


def _episode_tables(file: pq.ParquetFile, lengths: Iterable[int]) -> Iterator[pa.Table]:
    """The rows of each episode of a file; reads the file once, one row group at a time."""
    groups = iter(range(file.num_row_groups))
    rest = file.schema_arrow.empty_table()
    for length in lengths:
        while len(rest) < length and (group := next(groups, None)) is not None:
            rest = pa.concat_tables([rest, file.read_row_group(group)])
        yield rest.slice(0, length)
        rest = rest.slice(length)


def verify(plan: Plan, root: Path, repo_id: str, extents: Iterable[Mapping[str, Extent]]) -> None:
    """Open the dataset with LeRobot, and compare counts, episodes, statistics, and some frames.

    Args:
        extents: Results of `verify_block` for all blocks.

    Raises:
        RuntimeError: Something is missing or different.
    """
    meta = LeRobotDatasetMetadata(repo_id, root)
    if (meta.total_episodes, meta.total_frames) != (len(plan.ends), plan.frames):
        raise RuntimeError(f"{root}: has {meta.total_episodes} episodes, {meta.total_frames} frames after writing.")
    if list(meta.episodes["dataset_to_index"]) != plan.ends.tolist():
        raise RuntimeError(f"{root}: episodes have different ends after writing.")
    places = {name: np.array(meta.episodes[f"data/{name}"]) for name in ("chunk_index", "file_index")}
    for block in plan.blocks():
        if any((places[name][block.episodes] != number).any() for name, number in block.place.items()):
            raise RuntimeError(f"{root}: the metadata list episodes of file {block.index} in other files.")
    extents = list(extents)
    for key in extents[0]:
        _check_stats(root, key, meta.stats[key], _sum([part[key] for part in extents]))

    episodes = sorted({0, len(plan.ends) // 2, len(plan.ends) - 1})
    dataset = LeRobotDataset(repo_id, root=root, episodes=episodes, video_backend=VIDEO_BACKEND)
    position, readers = 0, plan.readers()
    for episode in episodes:
        start, stop = plan.span(episode)
        item = dataset[position]
        for column in plan.columns:
            expected = _as_lerobot_reads(column, column.read(readers, start, start + 1))
            if column.kind != "video" and not torch.equal(item[column.key].reshape(expected.shape), expected):
                raise RuntimeError(
                    f"{root}: LeRobot reads a different '{column.key}' at the start of episode {episode}."
                )
        position += stop - start
    if len(dataset) != position:
        raise RuntimeError(f"{root}: LeRobot reads {len(dataset)} frames of {position}.")


def _extent(values: NDArray) -> Extent:
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    return Extent(flat.min(axis=0), flat.max(axis=0), flat.sum(axis=0), len(flat))


def _sum(parts: list[Extent]) -> Extent:
    low, high, total, count = zip(*parts, strict=True)
    return Extent(np.min(low, axis=0), np.max(high, axis=0), np.sum(total, axis=0), sum(count))


def _check_stats(root: Path, key: str, stats: Mapping[str, NDArray], extent: Extent) -> None:
    scale = np.maximum(np.abs(extent.low), np.abs(extent.high))
    mean_error = np.abs(stats["mean"] - extent.total / extent.count)
    same = np.array_equal(stats["min"], extent.low) and np.array_equal(stats["max"], extent.high)
    # NaN is not within the tolerance.
    if not same or not (mean_error <= MEAN_TOLERANCE * scale + np.finfo(np.float32).tiny).all():
        said = json.dumps({name: np.asarray(stats[name]).tolist() for name in ("min", "max", "mean")})
        raise RuntimeError(f"{root}: the statistics of '{key}' ({said}) do not match its values.")


def _check_video(path: Path, times: list[float], expected: NDArray) -> None:
    frames = decode_video_frames(path, times, tolerance_s=1e-4, backend=VIDEO_BACKEND)
    pictures = torch.from_numpy(expected).permute(0, 3, 1, 2).float() / 255
    worst = float((frames - pictures).abs().mean(dim=(1, 2, 3)).max())
    if worst > VIDEO_TOLERANCE:
        raise RuntimeError(
            f"{path}: a frame between {times[0]} and {times[-1]} s differs by {worst:.2f} after encoding."
        )


def _as_lerobot_reads(column: Column, values: NDArray) -> torch.Tensor:
    """Stored values (1, *shape) as LeRobot's reader returns them: default float, channels first, depth in mm."""
    if column.is_picture:
        pictures = torch.from_numpy(values.astype(np.float32)).movedim(-1, 1)[0]
        if column.kind == "depth":
            return pictures * 1000 if column.dtype == np.float32 else pictures
        return pictures / 255
    return torch.tensor(values[0].tolist())
