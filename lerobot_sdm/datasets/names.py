"""Names of folders and files."""

from pathlib import Path

from lerobot_sdm.errors import InputError

PATTERNS = "*?["
"""Characters that LeRobot's data reader interprets as a glob pattern anywhere in a path."""


def named(path: Path) -> Path:
    """The same path with a name at its end, which `.` and `..` do not have."""
    return path.resolve() if path.name in ("", "..") else path


def stem(path: Path) -> str:
    """The name of a demonstration store without its storage suffixes: `demo` for `demo.zarr.zip`."""
    return named(path).name.removesuffix(".zip").removesuffix(".zarr")


def check_lerobot_can_read(option: str, root: Path) -> None:
    """Refuse a folder for a new dataset that LeRobot could not read afterwards.

    Args:
        option: The option that names the folder.
        root: The folder.

    Raises:
        InputError: Its path contains a glob character.
    """
    path = str(root.absolute())
    found = [character for character in PATTERNS if character in path]
    if found:
        raise InputError(
            f"{option}={root}: LeRobot cannot read datasets under a path that contains "
            f"{' or '.join(map(repr, found))}. Choose another folder."
        )
