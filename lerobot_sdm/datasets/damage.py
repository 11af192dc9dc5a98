"""LeRobot datasets as a bad disk or a stranger leaves them: data, or one sentence that names the folder.

LeRobot reads a dataset's own description with few questions, so what is wrong with it shows as one of a dozen kinds of
exception, or, in a path template or a shape, as memory without bounds.
"""

import contextlib
import math
import operator
import string
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import numpy as np

from lerobot_sdm.datasets.import_hook import when_imported
from lerobot_sdm.errors import InputError

FACTORY = "lerobot.datasets.factory"
INFO = Path("meta/info.json")
MOST_VALUES = 10**9
"""Numbers in one frame of a column; far more than any camera has."""
FIELDS = {"video_key", "chunk_index", "file_index", "episode_chunk", "episode_index"}
LONGEST_FORMAT = 3
"""Letters behind the colon of a template's field, as in `{file_index:03d}`: a wide field would fill memory."""
LONGEST_REASON = 300
ADVICE = "Copy or download it again, or leave out what is damaged."


@contextlib.contextmanager
def damage_is_an_input_error(repo_id: str, root: Path | str | None) -> Iterator[None]:
    """Around what opens a dataset. What concerns the Hub, for a dataset that is not here, passes as it is.

    Args:
        repo_id: Name of the dataset.
        root: Its folder; None for LeRobot's own cache.

    Raises:
        InputError: In the place of any other exception.
    """
    from lerobot.utils.constants import HF_LEROBOT_HOME

    try:
        yield
    except InputError:
        raise
    except Exception as error:
        folder = HF_LEROBOT_HOME / repo_id if root is None else Path(root)
        if not (folder / INFO).is_file():
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if len(reason) > LONGEST_REASON:
            reason = f"{reason[:LONGEST_REASON]}..."
        raise InputError(f"dataset {folder}: cannot be read ({reason}). {ADVICE}") from error


def check_metadata(meta: Any, source: str | Path) -> None:
    """Refuse a description that LeRobot would believe.

    Args:
        meta: LeRobot's metadata of a dataset.
        source: What the user knows the dataset by, for the message.

    Raises:
        InputError: Names the entry of `meta/info.json` or `meta/stats.json`, or the episode.
    """
    info = meta.info
    if isinstance(info.fps, bool) or not isinstance(info.fps, int | float) or not math.isfinite(info.fps):
        raise InputError(f"dataset {source}: {INFO}: fps={info.fps!r} is no number. {ADVICE}")
    for name in ("data_path", "video_path"):
        _check_template(source, name, getattr(info, name))
    for key, feature in info.features.items():
        if not _is_described(feature):
            raise InputError(f"dataset {source}: {INFO}: the column '{key}' is described by {feature!r}. {ADVICE}")
    for key, statistics in (meta.stats or {}).items():
        for name, value in statistics.items() if isinstance(statistics, Mapping) else [("", None)]:
            if np.asarray(value).dtype.kind not in "fiub":
                raise InputError(f"dataset {source}: meta/stats.json: '{name}' of '{key}' is {value!r}. {ADVICE}")
    if meta.episodes is not None:
        _check_episodes(meta, source)


def _check_episodes(meta: Any, source: str | Path) -> None:
    info = meta.info
    spans = zip(meta.episodes["dataset_from_index"], meta.episodes["dataset_to_index"], strict=True)
    for number, (first, end) in enumerate(spans):
        if not 0 <= first < end <= info.total_frames:
            told = f"episode {number} is said to have the frames {first} to {end}, of {info.total_frames}"
            raise InputError(f"dataset {source}: {told}. {ADVICE}")
    there = len(meta.episodes), max(meta.episodes["dataset_to_index"], default=0)
    if there != (info.total_episodes, info.total_frames):
        told = f"{info.total_episodes} episodes and {info.total_frames} frames, and there are {there[0]} and {there[1]}"
        raise InputError(f"dataset {source}: {INFO} tells of {told}. {ADVICE}")


def _is_described(feature: Any) -> bool:
    """Whether a column's description has a number type, and a shape that memory may hold."""
    try:
        sizes = [operator.index(size) for size in feature["shape"]]
        return isinstance(feature["dtype"], str) and min(sizes, default=1) >= 0 and math.prod(sizes) <= MOST_VALUES
    except (TypeError, KeyError):
        return False


def _check_template(source: str | Path, name: str, template: Any) -> None:
    """Refuse a path that leads out of the dataset, or that fills memory when it is filled in."""
    if template is None:
        return
    try:
        parts = list(string.Formatter().parse(template))
    except (TypeError, ValueError) as error:
        raise InputError(f"dataset {source}: {INFO}: {name}={template!r}: {error}. {ADVICE}") from error
    plain = all(
        field is None or (field in FIELDS and len(form) <= LONGEST_FORMAT and not mark)
        for _, field, form, mark in parts
    )
    path = PurePosixPath(template)
    if not plain or path.is_absolute() or ".." in path.parts:
        raise InputError(f"dataset {source}: {INFO}: {name}={template!r} is no path within a dataset. {ADVICE}")


def install(factory: ModuleType) -> None:
    """Let LeRobot's training look at the metadata that it reads first."""
    read = factory.LeRobotDatasetMetadata

    def read_and_check(repo_id: str, root: Any = None, *args: Any, **kwargs: Any) -> Any:
        with damage_is_an_input_error(repo_id, root):
            meta = read(repo_id, root, *args, **kwargs)
            check_metadata(meta, meta.root)
        return meta

    factory.LeRobotDatasetMetadata = read_and_check


def register() -> None:
    """Install as soon as LeRobot's factory is imported."""
    when_imported(FACTORY, install)
