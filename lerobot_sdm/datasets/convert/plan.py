"""The plan of a conversion, made before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from lerobot.configs.video import infer_depth_unit
from lerobot.datasets.utils import DEFAULT_CHUNK_SIZE
from numpy.typing import NDArray

from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.source import RowReader, Store

# Size of a block in memory: small enough to hold one per process, large enough for few files.
BLOCK_BYTES = 64 * 10**6
BLOCK_EPISODES = 1000
"""A block's statistics are in memory with it, and those of a short episode are larger than its values."""


class Block(NamedTuple):
    """Neighboring episodes that one process turns into one data file.

    Attributes:
        index: Number of the block and of its file.
        episodes: Numbers of its episodes.
    """

    index: int
    episodes: range

    @property
    def place(self) -> dict[str, int]:
        """Chunk and file index of its data file and videos in LeRobot's layout."""
        chunk, file = divmod(self.index, DEFAULT_CHUNK_SIZE)
        return {"chunk_index": chunk, "file_index": file}


@dataclass(frozen=True)
class Plan:
    """Everything that determines the content of a converted dataset. It can be sent to other processes.

    Attributes:
        store: The source.
        columns: The dataset's columns, without LeRobot's own.
        ends: (E,) the row after the last one of each episode.
        fps: Frames per second.
        task: Description of the task.
        facts: Other entries of the provenance, such as layout and frame of the cloud.
        block_bytes: Size at which a block ends.
        block_episodes: Number of episodes at which a block ends.
    """

    store: Store
    columns: tuple[Column, ...]
    ends: NDArray[np.int64]
    fps: int
    task: str
    facts: Mapping[str, Any]
    block_bytes: int = BLOCK_BYTES
    block_episodes: int = BLOCK_EPISODES

    @property
    def frames(self) -> int:
        """Number of frames of the dataset."""
        return int(self.ends[-1])

    def readers(self) -> dict[str, RowReader]:
        """A reader for each array of the columns."""
        names = dict.fromkeys(name for column in self.columns for name in column.arrays)
        return {name: self.store.reader(name) for name in names}

    def span(self, episode: int) -> tuple[int, int]:
        """First row of an episode and the row after its last one."""
        return (int(self.ends[episode - 1]) if episode else 0), int(self.ends[episode])

    def span_of(self, block: Block) -> tuple[int, int]:
        """First row of a block and the row after its last one."""
        return self.span(block.episodes[0])[0], self.span(block.episodes[-1])[1]

    def video_span(self, block: Block, episode: int) -> tuple[float, float]:
        """Seconds at which an episode begins and ends in the videos of its block."""
        first = self.span_of(block)[0]
        start, stop = self.span(episode)
        return (start - first) / self.fps, (stop - first) / self.fps

    def blocks(self) -> list[Block]:
        """The episodes in blocks of about equal size, independent of the number of processes."""
        frame_bytes = sum(int(np.prod(column.shape)) * column.dtype.itemsize for column in self.columns)
        blocks, first = [], 0
        for episode in range(len(self.ends)):
            start = self.span(first)[0]
            is_full = (self.ends[episode] - start) * frame_bytes >= self.block_bytes
            is_full |= episode + 1 - first >= self.block_episodes
            if is_full or episode == len(self.ends) - 1:
                blocks.append(Block(len(blocks), range(first, episode + 1)))
                first = episode + 1
        return blocks

    def features(self) -> dict[str, dict[str, Any]]:
        """LeRobot's description of the columns, including the cloud's frame and units."""
        return {column.key: self._feature(column) for column in self.columns}

    def _feature(self, column: Column) -> dict[str, Any]:
        feature = {"dtype": column.dtype.name, "shape": column.shape, "names": None}
        if column.is_picture:
            feature |= {
                "dtype": "video" if column.kind == "video" else "image",
                "names": ["height", "width", "channels"],
            }
        if column.kind == "depth":
            feature["info"] = {"is_depth_map": True, "depth_unit": infer_depth_unit(column.dtype)}
        if column.key in self.facts.get("clouds", {}):
            feature["info"] = dict(self.facts["clouds"][column.key])
        return feature
