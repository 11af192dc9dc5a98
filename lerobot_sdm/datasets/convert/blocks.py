"""The work of one process: checks a block of episodes and writes it to one data file."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.arrow_writer import OptimizedTypedSequence
from lerobot.configs.video import rgb_encoder_defaults
from lerobot.datasets.compute_stats import get_feature_stats
from lerobot.datasets.feature_utils import get_hf_features_from_features
from lerobot.datasets.video_utils import encode_video_frames
from lerobot.utils.constants import DEFAULT_FEATURES
from numpy.typing import NDArray

from lerobot_sdm.datasets.convert.plan import Block, Plan
from lerobot_sdm.files import new_folder
from lerobot_sdm.processes.scheduling import leave_real_time

DATA = "data.parquet"
STATS = "stats.npz"
# Readers load a file one row group at a time; one row group per short episode would make reading slow.
GROUP_ROWS, GROUP_BYTES = 1000, 16 * 10**6


def block_folder(folder: Path, block: Block) -> Path:
    """Folder of a finished block until the dataset is assembled."""
    return folder / f"block-{block.index:05d}"


def check_block(plan: Plan, block: Block) -> None:
    """Read every row of the block and refuse what cannot be stored faithfully.

    Raises:
        InputError: A chunk cannot be decoded, or a value is not finite or not a color.
    """
    for column in plan.columns:
        readers = {array: plan.store.reader(array) for array in column.arrays}
        for episode in block.episodes:
            start, stop = plan.span(episode)
            rows = {array: reader.read(start, stop) for array, reader in readers.items()}
            column.check(rows, start, plan.store.path.name)


def write_block(plan: Plan, block: Block, folder: Path) -> None:
    """Write the block's data file, videos, and statistics to its folder, unless an earlier run has done so."""
    finished = block_folder(folder, block)
    if finished.exists():
        return
    features = get_hf_features_from_features(plan.features() | DEFAULT_FEATURES)
    schema = features.arrow_schema
    readers = plan.readers()
    stats: dict[tuple[str, str], list[NDArray]] = {}
    group: list[pa.Table] = []
    group_rows = group_bytes = 0
    with new_folder(finished) as unfinished:
        with pq.ParquetWriter(unfinished / DATA, schema, compression="snappy", use_dictionary=True) as file:
            for episode in block.episodes:
                start, stop = plan.span(episode)
                values = {column.key: column.read(readers, start, stop) for column in plan.columns}
                bookkeeping = _bookkeeping(plan, episode)
                encoded = bookkeeping | {
                    column.key: column.encode(values[column.key]) for column in plan.columns if column.kind != "video"
                }
                table = _table(encoded, features, schema)
                group.append(table)
                group_rows, group_bytes = group_rows + len(table), group_bytes + table.nbytes
                if group_rows >= GROUP_ROWS or group_bytes >= GROUP_BYTES or episode == block.episodes[-1]:
                    file.write_table(pa.concat_tables(group), row_group_size=group_rows)
                    group, group_rows, group_bytes = [], 0, 0
                for name, value in _statistics(plan, values, bookkeeping):
                    stats.setdefault(name, []).append(value)
                _add_video_frames(plan, unfinished, values, start - plan.span_of(block)[0])
        _encode_videos(plan, unfinished)
        np.savez(unfinished / STATS, **{json.dumps(name): np.stack(values) for name, values in stats.items()})


def _statistics(
    plan: Plan, values: Mapping[str, NDArray], bookkeeping: Mapping[str, NDArray]
) -> Iterator[tuple[tuple[str, str], NDArray]]:
    """(column, statistic) of an episode -> its value, as a double if it is of integers. LeRobot leaves those of a
    single-frame episode as integers, and large ones cannot share a column with the doubles of other episodes."""
    described = {column.key: column.statistics(values[column.key]) for column in plan.columns}
    described |= {key: get_feature_stats(numbers, axis=0, keepdims=True) for key, numbers in bookkeeping.items()}
    for key, named in described.items():
        for name, value in named.items():
            is_integer = value.dtype.kind in "iu" and name != "count"
            yield (key, name), value.astype(np.float64) if is_integer else value


def episode_stats(folder: Path, block: Block) -> Iterator[dict[str, dict[str, NDArray]]]:
    """The statistics of each episode of a finished block: column -> statistic -> value."""
    with np.load(block_folder(folder, block) / STATS) as stored:
        by_name = {tuple(json.loads(name)): stored[name] for name in stored.files}
    for place in range(len(block.episodes)):
        of_episode: dict[str, dict[str, NDArray]] = {}
        for (key, statistic), values in by_name.items():
            of_episode.setdefault(key, {})[statistic] = values[place]
        yield of_episode


def video_path(folder: Path, key: str) -> Path:
    """The video of a column in a block's folder."""
    return folder / f"{key}.mp4"


def _table(columns: Mapping[str, Any], features: datasets.Features, schema: pa.Schema) -> pa.Table:
    """The table of `datasets.Dataset.from_dict`, four times faster because it does not hash every byte."""
    typed = {
        key: OptimizedTypedSequence(features.encode_column(values, key), type=features[key], col=key)
        for key, values in columns.items()
    }
    return pa.Table.from_pydict({key: pa.array(values) for key, values in typed.items()}, schema=schema)


def _bookkeeping(plan: Plan, episode: int) -> dict[str, NDArray[Any]]:
    """LeRobot's own columns of an episode, (F,) each."""
    start, stop = plan.span(episode)
    frame_index = np.arange(stop - start)
    return {
        "timestamp": frame_index / plan.fps,
        "frame_index": frame_index,
        "episode_index": np.full(stop - start, episode),
        "index": np.arange(start, stop),
        "task_index": np.zeros(stop - start, np.int64),
    }


def _add_video_frames(plan: Plan, folder: Path, values: dict[str, NDArray], offset: int) -> None:
    for column in plan.columns:
        if column.kind == "video":
            frames = folder / column.key
            frames.mkdir(exist_ok=True)
            for number, picture in enumerate(values[column.key], start=offset):
                PIL.Image.fromarray(picture).save(frames / f"frame-{number:06d}.png", compress_level=1)


def _encode_videos(plan: Plan, folder: Path) -> None:
    for column in plan.columns:
        if column.kind == "video":
            target = video_path(folder, column.key)
            encode_video_frames(folder / column.key, target, plan.fps, video_encoder=rgb_encoder_defaults())
            leave_real_time()
            shutil.rmtree(folder / column.key)
