"""A LeRobotDataset that keeps its columns in memory and returns whole batches at once.

LeRobot's reader decodes every column of every frame it touches, point clouds included, even when only `action`
is requested: about 140 samples per second at horizon 4. With one tensor per column in memory, a batch is one indexed
copy per column. Keys, values, shapes, and dtypes match LeRobot's reader; the tests compare the two.
"""

import functools
import logging
import operator
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from lerobot.configs.video import DEPTH_METER_UNIT
from lerobot.datasets.depth_utils import MM_PER_METRE
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torch.utils.data import default_collate
from torch.utils.data._utils.collate import default_collate_fn_map
from tqdm import tqdm

from lerobot_sdm.datasets.checks import check_finite, check_stats_finite
from lerobot_sdm.datasets.damage import AGAIN, check_frames, damage_is_an_input_error
from lerobot_sdm.datasets.memory import SHARED_MEMORY, cache_budget, fits_shared_memory
from lerobot_sdm.datasets.progress import BAR_DELAY
from lerobot_sdm.errors import InputError

logger = logging.getLogger(__name__)


class CannotCache(Exception):  # noqa: N818 a reason, not an error: LeRobot's reader takes over
    """This dataset needs LeRobot's own reader; the message says why."""


class CachedColumn(NamedTuple):
    """One column over all frames, in its storage dtype.

    Attributes:
        values: (F, ...) in a storage dtype no wider than `dtype`.
        dtype: Dtype of the items, as LeRobot's reader returns them: the default float dtype, int64, or bool.
        is_image: Whether the column is stored as uint8 (F, C, H, W) and returned as floats in [0, 1].
    """

    values: torch.Tensor
    dtype: torch.dtype
    is_image: bool = False

    def take(self, rows: torch.Tensor) -> torch.Tensor:
        """Copies of the frames `rows`, an index tensor of any shape: (*rows.shape, ...)."""
        taken = torch.index_select(self.values, 0, rows.reshape(-1)).to(self.dtype)
        if self.is_image:
            taken = taken.div_(255)
        return taken.reshape(*rows.shape, *self.values.shape[1:])


class Row(dict):
    """One item of a `Batch`. A separate type, so that `default_collate` recognizes a batch that is already collated."""


class Batch(Sequence):
    """A collated batch that still behaves like the list of items that any collate function expects."""

    def __init__(self, whole: dict[str, Any], size: int):
        self.whole = whole
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: int) -> Row:
        if not -self.size <= i < self.size:
            raise IndexError(i)
        return Row((key, value[i]) for key, value in self.whole.items())


def _collate_rows(rows: Batch | list[Row], *, collate_fn_map: dict | None = None) -> dict[str, Any]:
    """Collate function of `default_collate` for rows; returns a batch that is already collated as it is."""
    return rows.whole if isinstance(rows, Batch) else default_collate([dict(row) for row in rows])


default_collate_fn_map[Row] = _collate_rows


class CachedLeRobotDataset(LeRobotDataset):
    """LeRobotDataset with its columns in memory; takes the same arguments.

    Where caching is not possible or not allowed (videos, language columns, image transforms, not enough
    memory), it behaves exactly like its base class and logs the reason in one line.

    Raises:
        InputError: An observation or action contains NaN or infinity, or the dataset is damaged.
    """

    _columns: dict[str, CachedColumn] | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        named = dict(zip(("repo_id", "root", "episodes"), args, strict=False)) | kwargs
        with damage_is_an_input_error(named["repo_id"], named.get("root"), named.get("episodes")):
            super().__init__(*args, **kwargs)
            check_frames(self.hf_dataset.data, self.meta, self.repo_id)
            self._fill_cache()

    def _fill_cache(self) -> None:
        """Read all columns, unless this dataset needs LeRobot's own reader."""
        started = time.perf_counter()
        try:
            self._columns, self._strings = self._read_columns()
            self._first_row, self._last_row = self._episode_bounds()
        except CannotCache as reason:
            self._columns = None
            check_stats_finite(self.meta.stats, self.repo_id)
            logger.info("%s: using LeRobot's own reader, because %s.", self.repo_id, reason)
            return
        self._task_names = self.meta.tasks.index.tolist()
        logger.info(
            "%s: cached %d frames in memory, %.1f MB in %.1f s.",
            self.repo_id,
            len(self),
            self._nbytes() / 1e6,
            time.perf_counter() - started,
        )

    @property
    def is_cached(self) -> bool:
        """Whether items come from memory; image transforms are random per item and need LeRobot's reader."""
        return self._columns is not None and not (self.image_transforms and self.meta.camera_keys)

    def __getitem__(self, idx: int | slice) -> dict | list[dict]:
        if not self.is_cached or isinstance(idx, slice):
            return super().__getitem__(idx)
        return dict(self.__getitems__([idx])[0])

    def __getitems__(self, indices: Sequence[int]) -> Batch | list[dict]:
        """A whole batch at once; PyTorch's DataLoader calls this method if a dataset has it.

        Args:
            indices: Positions among the selected frames; negative ones count from the end.

        Returns:
            The items, already collated: `default_collate` returns them without copying.

        Raises:
            IndexError: A position is outside the dataset.
        """
        if not self.is_cached:
            return [super(CachedLeRobotDataset, self).__getitem__(i) for i in indices]
        total = len(self)
        rows = torch.tensor([operator.index(i) for i in indices])
        if len(rows) and not (-total <= int(rows.min()) and int(rows.max()) < total):
            raise IndexError(f"frame {indices} is outside the dataset's {total} frames")
        rows = torch.where(rows < 0, rows + total, rows)

        deltas = self.reader.delta_indices or {}
        windows, padding = {}, {}
        for key, delta in deltas.items():
            wanted = rows[:, None] + torch.tensor(delta)  # (B, T)
            first, last = self._first_row[rows, None], self._last_row[rows, None]
            windows[key] = wanted.clamp(first, last)
            padding[f"{key}_is_pad"] = (wanted < first) | (wanted > last)

        whole: dict[str, Any] = {}
        for key in self.hf_dataset.column_names:
            if key in self._strings:
                whole[key] = [self._strings[key][row] for row in rows.tolist()]
            else:
                whole[key] = self._columns[key].take(windows.get(key, rows))
        whole |= padding
        whole["task"] = [self._task_names[i] for i in whole["task_index"].tolist()]
        return Batch(whole, len(rows))

    def __getstate__(self) -> dict[str, Any]:
        """Spawned workers share the tensors if shared memory has room for them. Otherwise, they get none and read the
        same items with LeRobot's reader: a copy for each worker could exhaust memory."""
        state = self.__dict__.copy()
        if self._columns is not None and not fits_shared_memory(self._nbytes()):
            state |= dict.fromkeys(("_columns", "_strings", "_first_row", "_last_row"))
            _warn_of_slow_workers(self.repo_id, self._nbytes() / 1e6)
        return state

    # Building the cache

    def _nbytes(self) -> int:
        return sum(column.values.nbytes for column in self._columns.values())

    def _read_columns(self) -> tuple[dict[str, CachedColumn], dict[str, list[str]]]:
        """Read every column into memory; returns numeric and image columns, and text columns."""
        meta = self.meta
        if meta.video_keys:
            raise CannotCache(f"{', '.join(meta.video_keys)} is stored as video")
        if meta.has_language_columns:
            raise CannotCache("it has language columns")
        if self.image_transforms and meta.camera_keys:
            raise CannotCache("its images are transformed at random")
        needed = len(self) * sum(
            int(np.prod(feature["shape"])) * (4 if key in meta.depth_keys else _itemsize(feature["dtype"]))
            for key, feature in meta.features.items()
        )
        budget = cache_budget()
        if needed > budget:
            raise CannotCache(
                f"it needs {needed / 1e9:.1f} GB of memory but may use {budget / 1e9:.1f} GB (LEROBOT_SDM_CACHE_GB)"
            )

        table = self.hf_dataset.data
        order = {key: to_numpy(table.column(key), ()) for key in ("episode_index", "frame_index")}
        columns: dict[str, CachedColumn] = {}
        strings: dict[str, list[str]] = {}
        for key in tqdm(self.hf_dataset.column_names, desc="Reading columns", unit="column", delay=BAR_DELAY):
            feature = meta.features[key]
            if table.column(key).null_count:
                raise CannotCache(f"'{key}' has missing values")
            if feature["dtype"] == "string":
                strings[key] = table.column(key).to_pylist()
            elif key in meta.depth_keys:
                columns[key] = CachedColumn(self._decode_depth(key), torch.float32)
            elif feature["dtype"] == "image":
                columns[key] = CachedColumn(self._decode(key, 3, np.uint8), torch.get_default_dtype(), is_image=True)
            else:
                # LeRobot stores features of shape (1,) as scalars and reads them as such.
                shape = () if tuple(feature["shape"]) == (1,) else tuple(feature["shape"])
                try:
                    values = to_numpy(table.column(key), shape)
                except CannotCache as reason:
                    raise InputError(f"dataset {self.repo_id}: column '{key}': {reason}. {AGAIN}") from reason
                check_finite(key, values, order["episode_index"], order["frame_index"], self.repo_id)
                columns[key] = _as_column(values)
        unstackable = [key for key in self.reader.delta_indices or {} if key not in columns]
        if unstackable:
            raise CannotCache(f"{', '.join(unstackable)} has a time window but is not an array")
        return columns, strings

    def _decode(self, key: str, channels: int, dtype: type) -> torch.Tensor:
        """Decode a column of pictures: (F, channels, H, W)."""
        pictures = self.hf_dataset.select_columns([key]).with_format(None)
        width, height = pictures[0][key].size
        shape = tuple(self.meta.features[key]["shape"])
        if not {width, height} <= set(shape):  # Memory for all pictures is allocated up front.
            told = f"column '{key}' begins with a picture of {height} x {width}, but meta/info.json says {shape}"
            raise InputError(f"dataset {self.repo_id}: {told}. {AGAIN}")
        decoded = np.empty((len(self), channels, height, width), dtype)
        for row, item in enumerate(tqdm(pictures, desc=f"Decoding {key}", unit="frame", delay=BAR_DELAY)):
            picture = item[key]
            if picture.size != (width, height) or (channels == 3 and picture.mode != "RGB"):
                kind = "images that are not plain RGB of one size" if channels == 3 else "depth images of several sizes"
                raise CannotCache(f"'{key}' holds {kind}")
            decoded[row] = np.asarray(picture, dtype).reshape(height, width, channels).transpose(2, 0, 1)
        return torch.from_numpy(decoded)

    def _decode_depth(self, key: str) -> torch.Tensor:
        """Decode a column of depth images: (F, 1, H, W) float32 in `depth_output_unit`."""
        depth = self._decode(key, 1, np.float32)
        unit = (self.meta.features[key].get("info") or {}).get("depth_unit")
        if unit is None or unit == self.depth_output_unit:
            return depth
        return depth.mul_(MM_PER_METRE) if unit == DEPTH_METER_UNIT else depth.div_(MM_PER_METRE)

    def _episode_bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """First and last row of the episode that each row belongs to, (F,) each."""
        episode = self._columns["episode_index"].values.long()
        index = self._columns["index"].values.long()
        starts = torch.tensor(self.meta.episodes["dataset_from_index"][:])[episode]
        ends = torch.tensor(self.meta.episodes["dataset_to_index"][:])[episode]
        rows = torch.arange(len(index))
        first, last = rows - (index - starts), rows + (ends - 1 - index)
        # A window is a range of neighboring rows, so every episode must be contiguous and in order. If no episodes are
        # selected, LeRobot also uses a frame's `index` as its row.
        in_place = torch.equal(first, first[first]) and torch.equal(last, last[first])
        if not in_place or (self.episodes is None and not torch.equal(index, rows)):
            raise CannotCache("its frames are not stored in order")
        return first, last


@functools.cache
def _warn_of_slow_workers(repo_id: str, megabytes: float) -> None:
    """Say once, not for each worker, that workers cannot share a dataset of this size."""
    logger.warning(
        "%s: shared memory (%s) has no room for its %.1f MB, so data-loading workers read from disk, which is slower. "
        "Give --num_workers=0 to read from memory, or enlarge shared memory (docker run --shm-size=...).",
        repo_id,
        SHARED_MEMORY,
        megabytes,
    )


def _itemsize(dtype: str) -> int:
    """Bytes per value in memory; text is small and counts as one pointer."""
    return {"image": 1, "string": 8, "float64": 4}.get(dtype) or np.dtype(dtype).itemsize


def to_numpy(column: pa.ChunkedArray, shape: tuple[int, ...]) -> np.ndarray:
    """Copy an Arrow column into one contiguous array (F, *shape), chunk by chunk.

    Joining the chunks of a list column would overflow its 32-bit offsets at two billion values. The array is a copy
    because Arrow's buffers are read-only.
    """
    out = None
    filled = 0
    for chunk in column.chunks:
        flat = chunk
        while isinstance(flat, pa.ExtensionArray) or pa.types.is_nested(flat.type):
            flat = flat.storage if isinstance(flat, pa.ExtensionArray) else flat.flatten()
        flat = flat.to_numpy(zero_copy_only=False)
        if flat.size != len(chunk) * int(np.prod(shape)):
            raise CannotCache(f"rows of a column do not all have shape {shape}")
        if out is None:
            out = np.empty((len(column), *shape), dtype=flat.dtype)
        out[filled : filled + len(chunk)] = flat.reshape(len(chunk), *shape)
        filled += len(chunk)
    return out


def _as_column(values: np.ndarray) -> CachedColumn:
    """Give stored values the dtype that LeRobot's reader returns after its conversion through Python numbers."""
    if values.dtype.kind == "f":
        dtype = torch.get_default_dtype()
        stored = torch.from_numpy(values)
        return CachedColumn(stored.to(dtype) if stored.element_size() > dtype.itemsize else stored, dtype)
    if values.dtype.kind == "b":
        return CachedColumn(torch.from_numpy(values), torch.bool)
    if values.dtype.kind == "u" and values.dtype.itemsize > 1:
        values = values.astype(np.int64)
    return CachedColumn(torch.from_numpy(values), torch.int64)
