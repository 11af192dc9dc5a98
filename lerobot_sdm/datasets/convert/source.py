"""What conversion and viewing ask of a demonstration store, whatever format it has."""

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
    """What an array of the store says about itself.

    Attributes:
        shape: (T, ...).
        dtype: In the byte order of this machine.
        chunk_rows: Rows that are stored together.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunk_rows: int


class RowReader(Protocol):
    """Reads spans of rows of one array, fast as long as they move forward."""

    def read(self, start: int, stop: int) -> NDArray:
        """Rows (stop - start, ...) in native byte order; a view, not to be written to.

        Raises:
            InputError: They cannot be read.
        """


@dataclass(frozen=True)
class Store(ABC):
    """A store whose metadata has been read and found harmless. Small, so that it can be sent to other processes.

    Attributes:
        path: Folder or file.
        arrays: Name -> what the array says about itself.
        optional: Arrays that are read only if `--map` names them.
        layout: The layout that all stores of this format have; None where it is to be found out.
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
        """What it is, for people."""

    @abstractmethod
    def reader(self, name: str) -> RowReader:
        """Reads rows of an array."""

    @abstractmethod
    def episode_ends(self) -> NDArray[np.int64]:
        """(E,) the row after the last one of each episode, as stored; `checked_ends` says whether it makes sense.

        Raises:
            InputError: It cannot be read, or holds no whole numbers.
        """

    @abstractmethod
    def check_data(self, names: Iterable[str], files: Mapping[str, int], fill_missing: bool) -> int:
        """Refuse arrays whose data are not all there, and ends of episodes that are not.

        Args:
            names: Which arrays.
            files: The store's, from `files`.
            fill_missing: Whether absent pieces are taken for the fill value.

        Returns:
            How many pieces are absent.

        Raises:
            InputError: Naming what is absent or cut short.
        """

    @abstractmethod
    def files(self) -> dict[str, int]:
        """Size in bytes of every file of the store, by its key, in order."""

    @abstractmethod
    def opened(self) -> AbstractContextManager[OpenFile]:
        """A function that opens one of `files`."""

    def digest(self, files: Iterable[str], advance: Callable[[int], Any]) -> str:
        """SHA-256 over the names and contents of `files`: the same for a folder and for a zip file of it.

        Args:
            files: The store's files.
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


def checked_ends(store: Store, names: list[str]) -> NDArray[np.int64]:
    """The episodes' ends, (E,), if the arrays `names` agree with them.

    Raises:
        InputError: Arrays differ in length, or the ends do not cut them into episodes of at least one row.
    """
    ends, label = store.episode_ends(), f"{store.path.name}: {EPISODE_ENDS}"
    lengths = {name: store.arrays[name].shape[0] for name in names}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"data/{name} has {length}" for name, length in lengths.items())
        raise InputError(
            f"{store.path.name}: arrays differ in their number of rows ({listed}). "
            "Leave out what does not belong to the episodes with --skip NAME."
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
            "increase: each is the row after the last one of its episode."
        )
    rows = next(iter(lengths.values()))
    if ends[-1] != rows:
        wrong = "lie beyond the data" if ends[-1] > rows else "would leave rows without an episode"
        raise InputError(
            f"{label}[-1]={int(ends[-1])}, but the arrays have {rows} rows: the ends {wrong}. The store is "
            "incomplete, or was written to while it was copied."
        )
    return ends
