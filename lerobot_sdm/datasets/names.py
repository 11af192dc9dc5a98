"""Folders of datasets: their names, and who may write to them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.locks import only_one

PATTERNS = "*?["
"""Characters that LeRobot's data reader interprets as a glob pattern anywhere in a path."""


def named(path: Path) -> Path:
    """The same path with a name at its end, which `.` and `..` do not have."""
    return path.resolve() if path.name in ("", "..") else path


def stem(path: Path) -> str:
    """The name of a demonstration store without its storage suffixes: `demo` for `demo.zarr.zip`."""
    return named(path).name.removesuffix(".zip").removesuffix(".zarr")


def check_new_dataset(root: Path) -> None:
    """Refuse a folder given by `--root` that exists, or that LeRobot could not read afterwards.

    Raises:
        InputError: It exists, or its path contains a glob character.
    """
    refuse_existing("--root", root)
    path = str(root.absolute())
    found = [character for character in PATTERNS if character in path]
    if found:
        raise InputError(
            f"--root={root}: LeRobot cannot read datasets under a path that contains "
            f"{' or '.join(map(repr, found))}. Choose another folder."
        )


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Create the folder that collects a dataset's parts, and lock it; the lock of a killed process does not count.

    Raises:
        InputError: Another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with only_one(folder / "lock", f"{folder.name}: another process is writing to this folder. Wait for it to finish."):
        yield
