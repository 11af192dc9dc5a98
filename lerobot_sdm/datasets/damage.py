"""Refuses damaged or malicious LeRobot datasets with a message that names the file, the entry, and the fix.

LeRobot trusts a dataset's own description. A wrong entry shows up later as one of a dozen kinds of exception. In a path
template or a shape, it can exhaust memory or open a file outside the dataset.
"""

import contextlib
import math
import operator
import string
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lerobot_sdm.datasets.checks import must_be_finite
from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.json_files import read_object, said, short

if TYPE_CHECKING:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

INFO = Path("meta/info.json")
STATS = Path("meta/stats.json")
TASKS = Path("meta/tasks.parquet")
EPISODES = Path("meta/episodes")
MOST_VALUES = 10**9
"""Limit of the values in one frame of a column; far more than any camera has."""
TEMPLATE_FIELDS = {"video_key", "chunk_index", "file_index", "episode_chunk", "episode_index"}
LONGEST_FORMAT = 3
"""Limit of the characters after the colon in a field such as `{file_index:03d}`: a wide one would exhaust memory."""
AGAIN = "Copy or download the dataset again."
WITHOUT = "Copy or download it again, or exclude these episodes."


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_size(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "fps": (_is_size, "a finite number above 0"),
    "total_episodes": (_is_count, "a count"),
    "total_frames": (_is_count, "a count"),
    "total_tasks": (_is_count, "a count"),
    "chunks_size": (_is_size, "a finite number above 0"),
    "data_files_size_in_mb": (_is_size, "a finite number above 0"),
    "video_files_size_in_mb": (_is_size, "a finite number above 0"),
    "features": (lambda value: isinstance(value, dict), "the columns with their descriptions"),
}
"""Entry of info.json -> check of its value, and what the value must be. Entries with a default in LeRobot may be
missing."""
REQUIRED = ("codebase_version", "fps", "features")


@contextlib.contextmanager
def damage_is_an_input_error(
    repo_id: str, root: Path | str | None, episodes: Collection[int] | None = None
) -> Iterator[None]:
    """Context manager around opening a dataset: checks a local folder first, and explains what LeRobot cannot read.

    Errors that users can already read pass through: the Hub's, and LeRobot's own for datasets of older and newer
    formats.

    Args:
        repo_id: Name of the dataset.
        root: Its folder; None for LeRobot's own cache.
        episodes: The episodes to open; None for all.

    Raises:
        InputError: Replaces any other exception.
    """
    from httpx import HTTPError
    from lerobot.datasets.utils import CompatibilityError
    from lerobot.utils.constants import HF_LEROBOT_HOME

    folder = HF_LEROBOT_HOME / repo_id if root is None else Path(root)
    is_here = (folder / INFO).is_file()
    if is_here:
        check_dataset(folder, complete=False)  # LeRobot looks for missing files on the Hub.
        _check_episodes(folder, episodes)
    try:
        yield
    except (InputError, CompatibilityError):
        raise
    except Exception as error:
        if not is_here and isinstance(error, OSError | HTTPError):  # The Hub cannot be reached, or has no such dataset.
            raise
        if is_here:
            check_dataset(folder)
        reason = (_damaged_data(folder) if is_here else None) or said(error)
        raise InputError(f"dataset {folder if is_here else repo_id}: {reason}. {AGAIN}") from error


def open_checked(repo_id: str, root: Path | str | None, **options: Any) -> "LeRobotDataset":
    """Open a dataset as `LeRobotDataset` does, and run the checks of this module before and after.

    Raises:
        InputError: The dataset is damaged.
    """
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    with damage_is_an_input_error(repo_id, root, options.get("episodes")):
        dataset = LeRobotDataset(repo_id, root=root, **options)
        check_frames(dataset.hf_dataset.data, dataset.meta, repo_id)
    return dataset


def check_dataset(folder: Path, complete: bool = True) -> None:
    """Refuse a wrong description that LeRobot would trust. Reads no frames.

    Args:
        complete: Whether all tables must exist.

    Raises:
        InputError: Names the file under `meta/` and its entry.
    """
    try:
        info = read_object(folder / INFO, f"dataset {folder}: {INFO}", AGAIN)
        _check_info(info)
        if not str(info["codebase_version"]).startswith("v3"):
            return  # LeRobot says how to convert it.
        if (folder / STATS).exists():
            _check_stats(read_object(folder / STATS, f"dataset {folder}: {STATS}", AGAIN))
        _check_tables(folder, info)
    except _DamageError as damage:
        if complete or not isinstance(damage, _MissingError):
            raise InputError(f"dataset {folder}: {damage}. {AGAIN}") from damage


def _check_episodes(folder: Path, episodes: Collection[int] | None) -> None:
    """Refuse a selection that is empty or names an episode that a checked dataset does not have."""
    if episodes is None:
        return
    total = read_object(folder / INFO, f"dataset {folder}: {INFO}", AGAIN).get("total_episodes", 0)
    unknown = sorted(set(episodes) - set(range(total)))
    if unknown or not episodes:
        wrong = f"{unknown[0]}: no such episode" if unknown else "[]: names no episode"
        raise InputError(f"--dataset.episodes={wrong}. Give numbers from 0 to {total - 1}.")


def check_frames(table: pa.Table, meta: Any, source: str) -> None:
    """Refuse frames that LeRobot reads but that break training, or that point outside the dataset.

    Args:
        source: The user's name for the dataset, for the message.

    Raises:
        InputError: Names the column or the episode.
    """
    from lerobot.utils.constants import DEFAULT_FEATURES

    for key in table.column_names:
        column = table.column(key)
        gaps = column.null_count
        if gaps and (must_be_finite(key) or key in DEFAULT_FEATURES):
            raise InputError(f"dataset {source}: column '{key}' has no value in {gaps} of its frames. {WITHOUT}")
        if meta.features[key]["dtype"] == "image" and (paths := pc.struct_field(column, "bytes").null_count):
            # LeRobot would open the path next to the empty picture, which can be any file or a URL.
            told = f"column '{key}' contains {paths} paths instead of pictures"
            raise InputError(f"dataset {source}: {told}. Embed them, as LeRobot does when it saves an episode.")
    episodes = meta.episodes.with_format("numpy")
    lengths = episodes["dataset_to_index"][:] - episodes["dataset_from_index"][:]
    for key, count, where in (("episode_index", len(lengths), EPISODES), ("task_index", len(meta.tasks), TASKS)):
        low, high = pc.min_max(table.column(key)).as_py().values()
        if not 0 <= low <= high < count:
            told = f"column '{key}' contains {low} to {high}, but {where} has {count} entries"
            raise InputError(f"dataset {source}: {told}. {WITHOUT}")
    found = np.bincount(table.column("episode_index").to_numpy(), minlength=len(lengths))
    for episode in np.flatnonzero((found > 0) & (found != lengths))[:1]:
        told = f"episode {episode} has {found[episode]} frames, but {EPISODES} says {lengths[episode]}"
        raise InputError(f"dataset {source}: {told}. {WITHOUT}")


class _DamageError(Exception):
    """A damaged file; the message names it and says what is wrong."""


class _MissingError(_DamageError):
    """A file is missing."""


def _check_info(info: Mapping[str, Any]) -> None:
    for name in REQUIRED:
        if name not in info:
            raise _DamageError(f"{INFO}: '{name}' is missing")
    for name, (fits, wanted) in ENTRIES.items():
        if name in info and not fits(info[name]):
            raise _DamageError(f"{INFO}: {name}={_short(info[name])}: must be {wanted}")
    for name in ("data_path", "video_path"):
        if info.get(name) is not None:
            _check_template(name, info[name])
    for key, feature in info["features"].items():
        try:
            _check_feature(key, feature)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            told = f"the description of column '{key}' is damaged: {_short(feature)}"
            raise _DamageError(f"{INFO}: {told} ({said(error)})") from error


def _check_feature(key: str, feature: Mapping[str, Any]) -> None:
    from lerobot.datasets.feature_utils import get_hf_features_from_features

    if "/" in key:
        raise ValueError("a name must not contain '/'")
    dtype, sizes = feature["dtype"], tuple(operator.index(size) for size in feature["shape"])
    if not isinstance(dtype, str) or min(sizes, default=1) < 0 or math.prod(sizes) > MOST_VALUES:
        raise ValueError("the dtype is not a string, or the shape does not fit in memory")
    if dtype in ("image", "video") and (len(sizes) != 3 or len(feature.get("names") or sizes) != 3):
        raise ValueError("a picture must have three sizes and three names")
    for name in ("info", "video_info"):
        (feature.get(name) or {}).get("is_depth_map")
    get_hf_features_from_features({key: {**feature, "shape": sizes}}).arrow_schema  # noqa: B018 raises for an unknown dtype


def _check_template(name: str, template: Any) -> None:
    """Refuse a path template that leads outside the dataset, or that would exhaust memory when formatted."""
    try:
        parts = list(string.Formatter().parse(template))
        is_plain = all(
            field is None or (field in TEMPLATE_FIELDS and len(form) <= LONGEST_FORMAT and not mark)
            for _, field, form, mark in parts
        )
        path = PurePosixPath(template.format(**dict.fromkeys(TEMPLATE_FIELDS, 0)) if is_plain else "..")
    except (TypeError, ValueError, LookupError) as error:
        raise _DamageError(f"{INFO}: {name}={_short(template)}: {error}") from error
    if path.is_absolute() or ".." in path.parts:
        raise _DamageError(f"{INFO}: {name}={_short(template)} is not a path inside the dataset")


def _check_stats(stats: Mapping[str, Any]) -> None:
    for key, statistics in stats.items():
        if not isinstance(statistics, dict):
            raise _DamageError(f"{STATS}: '{key}' is {_short(statistics)}, must be a mapping of statistics")
        for name, value in statistics.items():
            try:
                fits = np.asarray(value).dtype.kind in "fiub"
            except ValueError:  # rows of different lengths
                fits = False
            if not fits:
                raise _DamageError(f"{STATS}: '{name}' of '{key}' is {_short(value)}, must be numbers")


def _check_tables(folder: Path, info: Mapping[str, Any]) -> None:
    """Check that the tables of tasks and episodes exist, are complete, and agree with info.json."""
    _read_table(folder, folder / TASKS, {"task_index": pa.types.is_integer})
    videos = [f"videos/{key}" for key, feature in info["features"].items() if feature["dtype"] == "video"]
    # LeRobot formats these indices into paths; as text, they could lead anywhere.
    whole = [f"{place}/{name}" for place in ("data", *videos) for name in ("chunk_index", "file_index")]
    wanted = dict.fromkeys(["dataset_from_index", "dataset_to_index", *whole], pa.types.is_integer)
    wanted |= {f"{place}/{end}_timestamp": _is_time for place in videos for end in ("from", "to")}
    files = sorted((folder / EPISODES).glob("*/*.parquet"))
    if not files:
        raise _MissingError(f"{EPISODES}: is missing")
    number = last = 0
    for file in files:
        table = _read_table(folder, file, wanted)
        starts, ends = (table.column(f"dataset_{way}_index").to_pylist() for way in ("from", "to"))
        for first, end in zip(starts, ends, strict=True):
            if not last == first < end:
                told = f"episode {number} has the frames {first} to {end}, but the episode before it ends at {last}"
                raise _DamageError(f"{file.relative_to(folder)}: {told}")
            number, last = number + 1, end
    for name, found in {"total_episodes": number, "total_frames": last}.items():
        if info.get(name, 0) != found:
            raise _DamageError(f"{INFO}: {name}={info.get(name, 0)}, but {EPISODES} has {found}")
    if not info.get("total_tasks"):
        raise _DamageError(f"{INFO}: total_tasks={info.get('total_tasks')}, but {TASKS} has at least one")


def _is_time(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _read_table(folder: Path, file: Path, wanted: Mapping[str, Callable[[pa.DataType], bool]]) -> pa.Table:
    """Read the named columns; each must have its type and no missing values."""
    name = file.relative_to(folder)
    if not file.exists():
        raise _MissingError(f"{name}: is missing")
    try:
        schema = pq.read_schema(file)
        for key, fits in wanted.items():
            if key not in schema.names or not fits(schema.field(key).type):
                found = schema.field(key).type if key in schema.names else "missing"
                raise _DamageError(f"{name}: column '{key}' is {found}")
        table = pq.read_table(file, columns=list(wanted))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _DamageError(f"{name}: cannot be read ({said(error)})") from error
    for key in wanted:
        if table.column(key).null_count:
            raise _DamageError(f"{name}: column '{key}' has missing values")
    return table


def _damaged_data(folder: Path) -> str | None:
    """Find the data file and column that do not match info.json; reads one batch at a time."""
    from datasets.table import table_cast
    from lerobot.datasets.feature_utils import get_hf_features_from_features
    from lerobot.datasets.io_utils import load_info

    info = load_info(folder)
    schema = get_hf_features_from_features(info.features).arrow_schema
    missing_episodes = set(range(info.total_episodes))
    for file in sorted(folder.glob("data/*/*.parquet")):
        name = file.relative_to(folder)
        try:
            parquet = pq.ParquetFile(file)
        except (OSError, ValueError, pa.ArrowException) as error:
            return f"{name}: cannot be read ({said(error)})"
        missing = [key for key in schema.names if key not in parquet.schema_arrow.names]
        extra = [key for key in parquet.schema_arrow.names if key not in schema.names]
        if missing or extra:
            return f"{name}: column '{(missing or extra)[0]}' is {'missing' if missing else f'not in {INFO}'}"
        for key in schema.names:
            try:
                for batch in parquet.iter_batches(columns=[key]):
                    table_cast(pa.Table.from_batches([batch]), pa.schema([schema.field(key)]))
            except Exception as error:  # A cast in `datasets` can raise any exception.
                return f"{name}: column '{key}' is not as {INFO} describes it ({said(error)})"
        missing_episodes.difference_update(pq.read_table(file, columns=["episode_index"]).column(0).to_pylist())
    return f"data: has no frames of episode {min(missing_episodes)}" if missing_episodes else None


def _short(value: Any) -> str:
    return short(repr(value))
