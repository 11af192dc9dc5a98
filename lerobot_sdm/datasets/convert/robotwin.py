"""Reads RoboTwin's demonstrations: a folder of HDF5 files, one per episode, as its generator writes them.

A file contains T frames: `joint_action/vector` (T, A), with A = 14 for two arms with grippers; `pointcloud` (T, N, 6)
if the task's configuration asks for clouds; poses, camera matrices, and pictures as JPEG. An action is the joint vector
of the next frame, so an episode gives T - 1 rows. RoboTwin's own zarr stores are made the same way.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lerobot_sdm.datasets.convert.safety import OpenFile, opened
from lerobot_sdm.datasets.convert.source import ArrayInfo, Store
from lerobot_sdm.datasets.names import named
from lerobot_sdm.datasets.progress import BAR_DELAY
from lerobot_sdm.errors import InputError, missing_package, unknown_name

FILE = re.compile(r"episode(\d+)\.hdf5")
VECTOR, CLOUD = "joint_action/vector", "pointcloud"
NEXT = "next/"
"""Prefix of arrays whose rows are one frame later, like actions."""
GROUPS = ("joint_action", "endpose")
CLOUDS_OFF = (
    "Collect the demonstrations again with `pointcloud: true` under `data_type` in the task's configuration, or "
    "convert them without clouds: --skip point_cloud."
)


class Origin(NamedTuple):
    """Location of an array in the files.

    Attributes:
        dataset: Path inside each file.
        later: Offset of its rows from the frame: 1 for actions.
    """

    dataset: str
    later: int = 0


def episode_files(path: Path) -> list[Path]:
    """The episode files of a folder or of its folder `data`, or a single file, by number; empty if there are none."""
    if path.is_file():
        return [path] if FILE.fullmatch(path.name) else []
    for folder in (path, path / "data"):
        found = [file for file in folder.glob("episode*.hdf5") if FILE.fullmatch(file.name)]
        if found:
            return sorted(found, key=lambda file: int(FILE.fullmatch(file.name)[1]))
    return []


def name_of(files: Sequence[Path]) -> str:
    """Task and configuration of episodes, in RoboTwin's naming: `beat_block_hammer-demo_clean`."""
    folder = files[0].resolve().parent
    parts = folder.parts[1:-1][-2:] if folder.name == "data" else ()
    return "-".join(parts) or folder.name


@dataclass(frozen=True)
class RoboTwinStore(Store):
    """Episodes in HDF5 files.

    Attributes:
        episodes: The files, one per episode.
        lengths: Rows of each episode.
        origins: Array -> its location.
    """

    episodes: tuple[Path, ...] = field(default=(), repr=False)
    lengths: tuple[int, ...] = field(default=(), repr=False)
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return name_of(self.episodes)

    @property
    def kind(self) -> str:
        return "HDF5, a file for each episode"

    def reader(self, name: str) -> EpisodeReader:
        return EpisodeReader(self, name)

    def episode_ends(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths, dtype=np.int64)

    def check_data(self, names: Iterable[str], files: Mapping[str, int], fill_missing: bool) -> int:
        datasets = {self.origins[name].dataset for name in names}
        absent = 0
        for file in tqdm(self.episodes, desc="looking for data", unit="file", delay=BAR_DELAY, leave=False):
            with open_file(file) as root:
                for dataset in datasets:
                    missing = _missing(root[dataset])
                    if missing and not fill_missing:
                        raise InputError(
                            f"{file.name}: {missing} of '{dataset}' is missing, because the file is incomplete. "
                            "Collect or copy the episode again, or move its file out of the folder."
                        )
                    absent += bool(missing)
        return absent

    def files(self) -> dict[str, int]:
        return {file.name: file.stat().st_size for file in self.episodes}

    def opened(self) -> AbstractContextManager[OpenFile]:
        return opened(self.episodes[0].parent)


class EpisodeReader:
    """Reads spans of rows of one array; keeps the last episode in memory."""

    def __init__(self, store: RoboTwinStore, name: str):
        self._store, self._origin, self._info = store, store.origins[name], store.arrays[name]
        self._ends = store.episode_ends()
        self._kept: tuple[int, NDArray] | None = None

    def read(self, start: int, stop: int) -> NDArray:
        first = int(np.searchsorted(self._ends, start, side="right"))
        pieces = []
        for episode in range(first, len(self._ends)):
            begin, end = self._ends[episode] - self._store.lengths[episode], self._ends[episode]
            if begin >= stop:
                break
            pieces.append(self._episode(episode)[max(start - begin, 0) : min(stop, end) - begin])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _episode(self, number: int) -> NDArray:
        """All rows of an episode."""
        if self._kept is None or self._kept[0] != number:
            file, later = self._store.episodes[number], self._origin.later
            with open_file(file) as root:
                try:
                    values = root[self._origin.dataset][later : later + self._store.lengths[number]]
                # Raised by HDF5 filters for damaged bytes.
                except (OSError, RuntimeError, ValueError) as error:
                    raise InputError(
                        f"{file.name}: '{self._origin.dataset}' cannot be read ({error}). Copy the file again."
                    ) from error
            self._kept = (number, np.ascontiguousarray(values, dtype=self._info.dtype))
        return self._kept[1]


def open_episodes(
    path: Path, files: list[Path], skip: Collection[str], left_out: dict[str, str] | None
) -> RoboTwinStore:
    """Open the episode files of a path as `opening.open_source` does, and read their metadata.

    Raises:
        InputError: A file is damaged, refers to another file, or differs from the others.
    """
    described = None
    lengths = []
    for file in tqdm(files, desc="opening", unit="file", delay=BAR_DELAY, leave=False):
        with open_file(file) as root:
            found = _describe(file, root)
        lengths.append(found[VECTOR][0][0] - 1)
        found = {name: (shape[1:], dtype) for name, (shape, dtype) in found.items()}
        if described is None:
            described = found
        elif found != described:
            raise InputError(_difference(files[0], described, file, found))
    origins = {"state": Origin(VECTOR), "action": Origin(VECTOR, 1)}
    if CLOUD in described:
        origins["point_cloud"] = Origin(CLOUD)
    elif "point_cloud" not in skip:
        if left_out is None:
            raise InputError(f"{path.name}: the episodes contain no clouds. {CLOUDS_OFF}")
        left_out["point_cloud"] = "the episodes were collected without clouds."
    optional = {}
    for dataset in described:
        if dataset not in (VECTOR, CLOUD):
            optional |= {dataset: Origin(dataset), f"{NEXT}{dataset}": Origin(dataset, 1)}
    origins |= optional
    for name in skip:
        if name not in (*origins, "point_cloud"):
            raise unknown_name("--skip", name, origins)
    origins = {name: origin for name, origin in origins.items() if name not in skip}
    rows = sum(lengths)
    arrays = {
        name: ArrayInfo((rows, *described[origin.dataset][0]), described[origin.dataset][1])
        for name, origin in origins.items()
    }
    kept = frozenset(optional) & frozenset(origins)
    return RoboTwinStore(named(path), arrays, kept, "robotwin", tuple(files), tuple(lengths), origins)


@contextlib.contextmanager
def open_file(file: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading.

    Raises:
        InputError: It is not an HDF5 file, or h5py is not installed.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise missing_package(file.name, "h5py, which reads HDF5 files,", "hdf5") from error
    try:
        root = h5py.File(file, "r")
    except OSError as error:
        raise InputError(
            f"{file.name}: not a complete HDF5 file ({error}). Collect or copy the episode again."
        ) from error
    with root:
        yield root


def _describe(file: Path, root: Any) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of the datasets that can become columns, by path inside the file."""
    names = [CLOUD]
    for group in GROUPS:
        members = _own(file, root, group)
        names += [f"{group}/{name}" for name in (members or ())]
    found = {}
    for name in names:
        dataset = _own(file, root, name)
        if dataset is None or not hasattr(dataset, "shape"):
            continue
        if dataset.external or dataset.is_virtual:
            raise InputError(f"{file.name}: the data of '{name}' are in another file, which is not opened.")
        shape, dtype = tuple(dataset.shape), dataset.dtype
        if dtype.kind in "biuf" and len(shape) >= 1 and 0 not in shape:
            found[name] = (shape, dtype.newbyteorder("="))
    if VECTOR not in found:
        raise InputError(f"{file.name}: has no numeric '{VECTOR}', so it is not an episode of RoboTwin.")
    frames = found[VECTOR][0][0]
    if frames < 2:
        raise InputError(f"{file.name}: has {frames} frame, but an action needs the next one. Remove the file.")
    for name, (shape, _) in found.items():
        if shape[0] != frames:
            raise InputError(f"{file.name}: '{name}' has {shape[0]} frames and '{VECTOR}' {frames}. Copy it again.")
    return found


def _own(file: Path, root: Any, name: str) -> Any:
    """A member of the file itself, never of a linked one; None if there is none."""
    place = root
    for part in name.split("/"):
        link = place.get(part, getlink=True) if hasattr(place, "keys") else None
        if link is None:
            return None
        if type(link).__name__ != "HardLink":
            raise InputError(f"{file.name}: '{name}' is a link, possibly to another file, and is not followed.")
        place = place[part]
    return place


def _difference(first: Path, described: dict[str, Any], file: Path, found: dict[str, Any]) -> str:
    """A sentence on the difference between two files."""
    name = next(name for name in sorted(described.keys() | found.keys()) if described.get(name) != found.get(name))
    said = [
        f"{where.name} has none" if name not in has else f"{has[name][1].name} {has[name][0]} in {where.name}"
        for where, has in ((first, described), (file, found))
    ]
    hint = " Clouds of one size need `pcd_down_sample_num` in the task's configuration." if name == CLOUD else ""
    return f"'{name}' differs between episodes: {', '.join(said)}. Remove the files that do not belong together.{hint}"


def _missing(dataset: Any) -> str | None:
    """The missing share of a dataset, which HDF5 would read as zeros; None if it is complete."""
    if dataset.chunks is None:
        stored = dataset.id.get_storage_size()
        return None if stored >= dataset.size * dataset.dtype.itemsize else "all"
    grid = int(np.prod([-(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)]))
    absent = grid - dataset.id.get_num_chunks()
    return f"{absent} of {grid} chunks" if absent else None
