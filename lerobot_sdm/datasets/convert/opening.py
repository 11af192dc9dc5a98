"""Opening a demonstration store of any format that is known."""

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
        skip: Arrays that are not looked at.
        left_out: Takes the arrays that cannot be handled safely, name -> reason, where they are no error.

    Raises:
        InputError: It is no store, or cannot be handled safely.
    """
    files = episode_files(path)
    return open_episodes(path, files, skip, left_out) if files else open_store(path, skip, left_out)


def source_name(path: Path) -> str:
    """What a dataset of this store is called unless it is given another name; the store need not exist."""
    files = episode_files(path)
    return name_of(files) if files else stem(path)


def holds_demonstrations(folder: Path) -> bool:
    """Whether a folder is a store, so that nothing may be written into it."""
    return is_store_folder(folder) or (folder.is_dir() and bool(episode_files(folder)))
