"""Opens untrusted zarr stores: version 2 or 3, in a folder or a zip file."""

import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from tqdm import tqdm
from zarr.storage import LocalStore, ZipStore

from lerobot_sdm.datasets.convert.safety import OpenFile, check_chunks, is_safe_array, list_files, opened
from lerobot_sdm.datasets.convert.source import EPISODE_ENDS, ArrayInfo, Store
from lerobot_sdm.datasets.names import stem
from lerobot_sdm.datasets.progress import BAR_DELAY
from lerobot_sdm.errors import InputError, check_known

METADATA_NAMES = {".zarray": 2, "zarr.json": 3}
# Blosc cannot write larger chunks; a store that declares more would only exhaust memory.
MAX_CHUNK_BYTES = 2**31
MAX_METADATA_BYTES = 2**20


@dataclass(frozen=True)
class ZarrStore(Store):
    """A store in zarr.

    Attributes:
        prefix: Path of the store inside a zip file; empty, or ends in a slash.
        zarr_format: 2 or 3.
    """

    prefix: str = ""
    zarr_format: int = 2

    @property
    def name(self) -> str:
        return stem(Path(self.prefix) if self.prefix else self.path)

    @property
    def kind(self) -> str:
        return f"zarr v{self.zarr_format} in a {'zip file' if self.path.is_file() else 'folder'}"

    def open(self, key: str) -> zarr.Array:
        """The array at `key`, such as `data/action`."""
        container = ZipStore(self.path, mode="r") if self.path.is_file() else LocalStore(self.path, read_only=True)
        return zarr.open_array(container, path=self.prefix + key, mode="r", zarr_format=self.zarr_format)

    def reader(self, name: str) -> "ChunkReader":
        return ChunkReader(f"{self.path.name}: data/{name}", self.open(f"data/{name}"))

    def episode_ends(self) -> NDArray[np.int64]:
        array = self.open(EPISODE_ENDS)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise InputError(
                f"{self.path.name}: {EPISODE_ENDS} has shape {array.shape} and type {array.dtype}; it must be a list "
                "of integers, the row after the last one of each episode."
            )
        return ChunkReader(f"{self.path.name}: {EPISODE_ENDS}", array).read(0, array.shape[0]).astype(np.int64)

    def check_data(self, names: Iterable[str], files: Mapping[str, int], fill_missing: bool) -> int:
        bar = tqdm(desc="looking for chunks", unit="chunk", delay=BAR_DELAY, leave=False)
        keys = [EPISODE_ENDS, *(f"data/{name}" for name in names)]
        with self.opened() as open_file, bar:
            return sum(
                check_chunks(self.path.name, key, self.open(key), files, open_file, fill_missing, bar.update)
                for key in keys
            )

    def files(self) -> dict[str, int]:
        return dict(sorted(list_files(self.path, self.prefix).items()))

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenFile]:
        with opened(self.path) as open_file:
            yield lambda key: open_file(self.prefix + key)


class ChunkReader:
    """Reads spans of rows of one array; decodes every chunk once if the spans move forward."""

    def __init__(self, label: str, array: zarr.Array):
        self._label, self._array = label, array
        self._dtype = array.dtype.newbyteorder("=")
        self._step = max((array.shards or array.chunks)[0], 1)
        self._first = 0
        self._rows = np.empty((0, *array.shape[1:]), self._dtype)

    def read(self, start: int, stop: int) -> NDArray:
        first = start // self._step * self._step
        kept = self._rows[max(first - self._first, 0) :] if first >= self._first else self._rows[:0]
        chunks = [kept] if len(kept) else []
        for row in range(first + len(kept), stop, self._step):
            chunks.append(self._decode(row, min(row + self._step, self._array.shape[0])))
        self._rows = chunks[0] if len(chunks) == 1 else np.concatenate(chunks or [kept])
        self._first = first
        return self._rows[start - first : stop - first]

    def _decode(self, start: int, stop: int) -> NDArray:
        try:
            rows = np.asarray(self._array[start:stop])
        # Each codec raises its own exception for bytes that it cannot decode.
        except Exception as error:
            raise InputError(
                f"{self._label}: rows {start} to {stop - 1} cannot be read ({type(error).__name__}: {error}). "
                "Their chunk is truncated or corrupt: copy the store again."
            ) from error
        return np.ascontiguousarray(rows, dtype=self._dtype)


def is_store_folder(path: Path) -> bool:
    """Whether a folder is a store, judged without listing it."""
    return any((path / EPISODE_ENDS / name).is_file() for name in METADATA_NAMES)


def open_store(path: Path, skip: Collection[str], left_out: dict[str, str] | None) -> ZarrStore:
    """Open a folder, or a zip file with the store anywhere inside, as `opening.open_source` does.

    Raises:
        InputError: It is not a store, a zip member leads outside its folder, or an array cannot be handled safely.
    """
    is_folder = path.is_dir()
    # List a folder only if it is a store, because it might be a whole disk.
    files = list_files(path, "") if is_store_folder(path) or not is_folder else {}
    found = {
        key.removesuffix(f"{EPISODE_ENDS}/{name}"): name
        for key in files
        for name in METADATA_NAMES
        if f"/{key}".endswith(f"/{EPISODE_ENDS}/{name}")
    }
    if is_folder:
        found = {prefix: name for prefix, name in found.items() if not prefix}
    if len(found) != 1:
        inside = ", ".join(sorted(folder.name for folder in path.glob("*.zarr"))) if is_folder else ""
        raise InputError(
            f"{path}: not a demonstration store: it has {len(found) or 'no'} {EPISODE_ENDS}. Give a zarr folder "
            f"or zip file with data/* and {EPISODE_ENDS}{f', such as {inside} in it' if inside else ''}."
        )
    ((prefix, metadata_name),) = found.items()
    keys = {
        key.removeprefix(prefix).removesuffix(f"/{metadata_name}"): key
        for key in sorted(files)
        if key.startswith(prefix) and key.endswith(f"/{metadata_name}")
    }
    names = [key.removeprefix("data/") for key in keys if key.startswith("data/")]
    for name in skip:
        check_known("--skip", name, names)
    wanted = [EPISODE_ENDS, *(f"data/{name}" for name in names if name not in skip)]
    with opened(path) as open_file:
        raw = {key: open_file(keys[key]).read(MAX_METADATA_BYTES) for key in wanted}
    store = ZarrStore(path, {}, prefix=prefix, zarr_format=METADATA_NAMES[metadata_name])
    described = {}
    for key in wanted:
        name = key.removeprefix("data/")
        remedy = "Copy the store again." if key == EPISODE_ENDS else f"Exclude the array with --skip {name}."
        label = f"{path.name}: {key}/{metadata_name}"
        try:
            if is_safe_array(label, raw[key], remedy if left_out is None else ""):
                described[name] = _describe(store, key)
        except InputError as error:
            if left_out is None or key == EPISODE_ENDS:
                raise
            left_out[name] = str(error)
    described.pop(EPISODE_ENDS, None)
    if not described:
        raise InputError(f"{path}: has no arrays under data/{'' if not left_out else ' that can be read'}.")
    return dataclasses.replace(store, arrays=described)


def _describe(store: ZarrStore, key: str) -> ArrayInfo:
    try:
        array = store.open(key)
    except Exception as error:
        raise InputError(f"{store.path.name}: {key} cannot be opened ({type(error).__name__}: {error}).") from error
    if array.ndim < 1:
        raise InputError(f"{store.path.name}: {key} is a single value, but an array must have one row per time step.")
    outer = array.shards or array.chunks
    size = int(np.prod(outer, dtype=object)) * array.dtype.itemsize
    if size > MAX_CHUNK_BYTES:
        raise InputError(
            f"{store.path.name}: {key} declares chunks of {size} bytes, more than {MAX_CHUNK_BYTES}. "
            "Write the store again with fewer rows per chunk."
        )
    return ArrayInfo(array.shape, array.dtype.newbyteorder("="))
