"""Names of folders and files."""

from pathlib import Path

from lerobot_sdm.errors import InputError, refuse_existing

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
