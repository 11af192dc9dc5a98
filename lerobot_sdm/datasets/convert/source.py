"""The interface of a demonstration store of any format, for conversion and viewing."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.datasets.convert.safety import OpenFile
from lerobot_sdm.errors import InputError

EPISODE_ENDS = "meta/episode_ends"
HASHED_AT_ONCE = 2**22


@dataclass(frozen=True)
class ArrayInfo:
    """Metadata of an array of the store.

    Attributes:
        shape: (T, ...).
        dtype: In native byte order.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


class RowReader(Protocol):
    """Reads spans of rows of one array; fast if the spans move forward."""

    def read(self, start: int, stop: int) -> NDArray:
        """Rows (stop - start, ...) in native byte order; a read-only view.

        Raises:
            InputError: The rows cannot be read.
        """


@dataclass(frozen=True)
class Store(ABC):
    """A store whose metadata has been read and checked. Small, so that it can be sent to other processes.

    Attributes:
        path: Folder or file.
        arrays: Name -> metadata of the array.
        optional: Arrays that are read only if `--map` names them.
        layout: The layout of all stores of this format; None to guess it.
    """

    path: Path
    arrays: dict[str, ArrayInfo] = field(repr=False)
    optional: frozenset[str] = field(default=frozenset(), repr=False)
    layout: str | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The store's own name, without its folder and ending."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """Description of the format, for users."""

    @abstractmethod
    def reader(self, name: str) -> RowReader:
        """A reader of an array's rows."""

    @abstractmethod
    def episode_ends(self) -> NDArray[np.int64]:
        """(E,) the row after the last one of each episode, as stored; `checked_ends` checks them.

        Raises:
            InputError: They cannot be read, or are not integers.
        """

    @abstractmethod
    def check_data(self, names: Iterable[str], files: Mapping[str, int], fill_missing: bool) -> int:
        """Refuse arrays and episode ends with missing or truncated data.

        Args:
            files: The store's files, from `files`.
            fill_missing: Whether missing chunks count as the fill value.

        Returns:
            Number of missing chunks.

        Raises:
            InputError: Names the missing or truncated data.
        """

    @abstractmethod
    def files(self) -> dict[str, int]:
        """Size in bytes of every file of the store, by its key, in order."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[OpenFile]:
        """Yield a function that opens one of `files`."""

    def digest(self, files: Iterable[str], advance: Callable[[int], Any]) -> str:
        """SHA-256 over the names and contents of `files`, equal for a folder and a zip file of it.

        Args:
            advance: Called with the number of bytes read since the last call.
        """
        whole = hashlib.sha256()
        with self.opened() as open_file:
            for key in files:
                one = hashlib.sha256()
                with open_file(key) as file:
                    while piece := file.read(HASHED_AT_ONCE):
                        one.update(piece)
                        advance(len(piece))
                whole.update(f"{key}\0{one.hexdigest()}\n".encode())
        return whole.hexdigest()


def checked_ends(store: Store, names: Iterable[str]) -> NDArray[np.int64]:
    """The episodes' ends, (E,), checked against the arrays `names`, which may repeat.

    Raises:
        InputError: Arrays differ in length, or the ends do not cut them into episodes of at least one row.
    """
    ends, label = store.episode_ends(), f"{store.path.name}: {EPISODE_ENDS}"
    lengths = {name: store.arrays[name].shape[0] for name in names}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"data/{name} has {length}" for name, length in lengths.items())
        raise InputError(
            f"{store.path.name}: arrays differ in their number of rows ({listed}). "
            "Exclude those that do not belong to the episodes with --skip NAME."
        )
    if len(ends) == 0:
        raise InputError(f"{label} is empty: the store has no episodes.")
    lengths_of_episodes = np.diff(ends, prepend=0)
    if (lengths_of_episodes <= 0).any():
        episode = int(np.argmax(lengths_of_episodes <= 0))
        before = int(ends[episode - 1]) if episode else 0
        wrong = "is empty" if ends[episode] == before else "ends before it begins"
        raise InputError(
            f"{label}[{episode}]={int(ends[episode])} follows {before}: episode {episode} {wrong}. The ends must "
            "increase, because each is the row after the last one of its episode."
        )
    rows = next(iter(lengths.values()))
    if ends[-1] != rows:
        wrong = "are beyond the data" if ends[-1] > rows else "leave rows without an episode"
        raise InputError(
            f"{label}[-1]={int(ends[-1])}, but the arrays have {rows} rows: the ends {wrong}. The store is "
            "incomplete, or was written to while it was copied."
        )
    return ends
