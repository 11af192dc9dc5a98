"""Opens demonstration stores of all supported formats."""

from collections.abc import Collection
from pathlib import Path

from lerobot_sdm.datasets.convert.robotwin import episode_files, name_of, open_episodes
from lerobot_sdm.datasets.convert.source import Store
from lerobot_sdm.datasets.convert.store import is_store_folder, open_store
from lerobot_sdm.datasets.names import stem


def open_source(path: Path, skip: Collection[str] = (), left_out: dict[str, str] | None = None) -> Store:
    """Open a store and read its metadata; no data is read, and nothing in it is executed.

    Args:
        path: A zarr store, in a folder or a zip file; or RoboTwin's folder of HDF5 files.
        skip: Arrays to ignore.
        left_out: If given, receives the arrays that cannot be handled safely, name -> reason, instead of an error.

    Raises:
        InputError: It is not a store, or cannot be handled safely.
    """
    files = episode_files(path)
    return open_episodes(path, files, skip, left_out) if files else open_store(path, skip, left_out)


def source_name(path: Path) -> str:
    """Default name of a dataset made from this store; the store need not exist."""
    files = episode_files(path)
    return name_of(files) if files else stem(path)


def holds_demonstrations(folder: Path) -> bool:
    """Whether a folder is a store, which nothing may be written to."""
    return is_store_folder(folder) or (folder.is_dir() and bool(episode_files(folder)))
