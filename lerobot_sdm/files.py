"""Write files and folders that appear under their names only when they are complete; hash files and values."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` at the end; an interruption leaves no partial file.

    Missing folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:  # An interrupt, too; and a full disk has its space back.
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which is renamed to `path` at the end, or deleted if an error occurs.

    Args:
        path: A folder that does not exist yet. What a killed attempt left beside it is deleted.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def is_temporary(path: Path) -> bool:
    """Whether a file is what a killed `new_file` leaves."""
    return ".tmp" in path.suffixes


def json_files(folder: Path) -> list[Path]:
    """The JSON files in a folder, sorted by name, without those that a killed `new_file` left."""
    return sorted(path for path in folder.glob("*.json") if not is_temporary(path))


def write_text(path: Path, text: str) -> None:
    """Write a text atomically."""
    with new_file(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())


def sha256(path: Path) -> str:
    """Hash of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Short hash of a value made of JSON's types, paths and dates, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
