"""Which array of a store becomes which column: guessed from names and shapes, or given."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from lerobot.utils.constants import ACTION, DEFAULT_FEATURES, OBS_IMAGE, OBS_IMAGES, OBS_STATE

from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.store import ArrayInfo
from lerobot_sdm.envs.configuration import OBS_POINT_CLOUD
from lerobot_sdm.errors import InputError, unknown_name

OBS_DEPTH = "observation.depth"
OBS_IMAGIN_ROBOT = "observation.imagin_robot"
IMAGES = ("image", "video", "skip")
DEPTH = ("image", "array", "skip")
COLOR_RANGES = ("0-255", "0-1", "none")

NAMED = {
    "action": ACTION,
    "actions": ACTION,
    "state": OBS_STATE,
    "agent_pos": OBS_STATE,
    "robot_state": OBS_STATE,
    "qpos": OBS_STATE,
    "point_cloud": OBS_POINT_CLOUD,
    "pointcloud": OBS_POINT_CLOUD,
    "pcd": OBS_POINT_CLOUD,
    "imagin_robot": OBS_IMAGIN_ROBOT,
}
VECTORS = (ACTION, OBS_STATE, "observation.environment_state")
CLOUDS = (OBS_POINT_CLOUD, OBS_IMAGIN_ROBOT)
# Arrays of fewer points than this with 3 or 6 columns are more likely keypoints or poses than clouds.
SMALLEST_CLOUD = 64
LARGEST_RANK = 5  # what LeRobot stores
ENTRY = re.compile(r"(?P<array>[^=\[\]]+)(\[(?P<start>-?\d*):(?P<stop>-?\d*)\])?=(?P<key>[A-Za-z0-9_.-]+)")


class Entry(NamedTuple):
    """One line of a mapping.

    Attributes:
        array: Name of the array below `data/`.
        key: Name of the column.
        channels: Bounds of a slice of the array's last axis.
    """

    array: str
    key: str
    channels: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class Choices:
    """How columns are stored.

    Attributes:
        images: `image` for PNG, `video`, or `skip`.
        depth: `image` for LeRobot's depth images, `array` for a plain column, or `skip`.
        color_range: Of colours that are not uint8: `0-255`, `0-1`, `none` if they are something else; None to ask
            the data.
        points: Thin clouds out to so many points.
    """

    images: str = "image"
    depth: str = "image"
    color_range: str | None = None
    points: int | None = None

    def __post_init__(self) -> None:
        for option, known in (("images", IMAGES), ("depth", DEPTH), ("color_range", (None, *COLOR_RANGES))):
            if getattr(self, option) not in known:
                raise unknown_name(f"--{option.replace('_', '-')}", getattr(self, option), filter(None, known))
        if self.points is not None and self.points < 1:
            raise InputError(f"--resample-points={self.points}: give 1 or more.")


def parse(entries: Iterable[str], arrays: Mapping[str, ArrayInfo]) -> list[Entry]:
    """Read a mapping that was given as `NAME=COLUMN` or `NAME[a:b]=COLUMN`.

    Raises:
        InputError: An entry cannot be read, or there is no such array.
    """
    parsed = []
    for entry in entries:
        match = ENTRY.fullmatch(entry)
        if match is None:
            raise InputError(
                f"--map {entry}: expected NAME=COLUMN, such as point_cloud=observation.point_cloud, or "
                "NAME[a:b]=COLUMN for a part of the last axis. Columns consist of letters, digits, dots, dashes and "
                "underscores."
            )
        if match["array"] not in arrays:
            raise unknown_name("--map", match["array"], arrays)
        bounds = tuple(int(match[bound]) if match[bound] else None for bound in ("start", "stop"))
        parsed.append(Entry(match["array"], match["key"], bounds))
    return parsed


def complete(entries: Sequence[Entry], arrays: Mapping[str, ArrayInfo]) -> list[Entry]:
    """A mapping with a column for every array, guessed from its name and shape where there is none yet.

    What no policy should see keeps its own name, and so does what would become a column that is taken.

    Args:
        entries: What is mapped already.
        arrays: All arrays of the store.

    Returns:
        The entries in the order of the arrays.
    """
    given = {entry.array for entry in entries}
    taken = {entry.key for entry in entries}
    left = {name: info for name, info in arrays.items() if name not in given}
    images = [name for name, info in left.items() if _is_image(info.shape[1:]) and _looks_like_image(name, info)]
    depths = [name for name, info in left.items() if "depth" in name.lower() and _is_depth(info.shape[1:])]
    has_named_cloud = any(NAMED.get(name) == OBS_POINT_CLOUD for name in arrays)
    guessed = []
    for name, info in left.items():
        key = NAMED.get(name.rpartition("/")[2].lower())
        if name in images:
            key = OBS_IMAGE if len(images) == 1 else f"{OBS_IMAGES}.{_column_name(name)}"
        elif name in depths:
            key = OBS_DEPTH if len(depths) == 1 else f"{OBS_DEPTH}.{_column_name(name)}"
        elif key is None and _is_cloud(info) and not has_named_cloud:
            key = OBS_POINT_CLOUD
        if key is None or key in taken or _misfit(key, info.shape[1:] or (1,)):
            key = _column_name(name)
        taken.add(key)
        guessed.append(Entry(name, key))
    order = list(arrays)
    return sorted([*entries, *guessed], key=lambda entry: order.index(entry.array))


def columns_of(
    entries: Sequence[Entry], arrays: Mapping[str, ArrayInfo], choices: Choices, unit_colors: Mapping[str, bool]
) -> list[Column]:
    """Columns for the entries of a mapping, checked against what the arrays are.

    Args:
        entries: The mapping.
        arrays: The store's arrays.
        choices: How columns are stored.
        unit_colors: For columns with colours that are not uint8, whether these lie in [0, 1].

    Raises:
        InputError: An array does not have the shape or type that its column asks for.
    """
    columns = [column for entry in entries if (column := _column(entry, arrays[entry.array], choices, unit_colors))]
    keys = [column.key for column in columns]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"--map: several arrays become '{key}'. Give each a column of its own.")
    if ACTION not in keys:
        raise InputError(
            f"no array becomes '{ACTION}' (there are {', '.join(arrays)}). Say which: --map NAME={ACTION}."
        )
    if not any(key.startswith("observation.") for key in keys):
        raise InputError(
            f"no array becomes an observation (there are {', '.join(arrays)}). Say which: --map NAME={OBS_STATE}."
        )
    if choices.points is not None and OBS_POINT_CLOUD not in keys:
        raise InputError(f"--resample-points={choices.points}: no array becomes '{OBS_POINT_CLOUD}'.")
    return columns


def _column(entry: Entry, info: ArrayInfo, choices: Choices, unit_colors: Mapping[str, bool]) -> Column | None:
    label = f"data/{entry.array}={entry.key}"
    frame = info.shape[1:] or (1,)
    if entry.channels != (None, None):
        frame = (*frame[:-1], len(range(frame[-1])[slice(*entry.channels)]))
    if 0 in frame:
        raise InputError(f"--map {label}: has shape {info.shape[1:]} per row, of which nothing would be left.")
    if len(frame) > LARGEST_RANK:
        raise InputError(f"--map {label}: has {len(frame)} axes per row, and LeRobot stores {LARGEST_RANK}. Skip it.")
    if entry.key in DEFAULT_FEATURES:
        raise InputError(f"--map {label}: LeRobot keeps '{entry.key}' for itself. Choose another column.")
    if wanted := _misfit(entry.key, frame):
        raise InputError(f"--map {label}: has shape {frame} per row; '{entry.key}' must be {wanted}.")
    common = {"array": entry.array, "key": entry.key, "channels": entry.channels}
    is_unit = unit_colors.get(entry.key, False)

    # LeRobot takes every column with "image" in its name for pictures.
    if "image" in entry.key:
        if choices.images == "skip":
            return None
        if not _is_image(frame):
            raise InputError(f"--map {label}: has shape {frame} per row; pictures must be (H, W, 3) or (3, H, W).")
        channel_first = frame[-1] != 3
        shape = (*frame[1:], 3) if channel_first else frame
        return Column(
            **common,
            kind=choices.images,
            shape=shape,
            dtype=np.dtype(np.uint8),
            channel_first=channel_first,
            colors=(0, 3),
            unit_colors=is_unit and info.dtype != np.uint8,
        )
    if entry.key.startswith(OBS_DEPTH):
        if choices.depth == "skip":
            return None
        if not _is_depth(frame):
            raise InputError(f"--map {label}: has shape {frame} per row; depth must be (H, W), (H, W, 1) or (1, H, W).")
        # LeRobot's depth images are of these two types; others stay plain numbers, so that no bit is lost.
        if choices.depth == "image" and info.dtype in (np.float32, np.uint16):
            shape = (*frame[1:], 1) if len(frame) == 3 and frame[0] == 1 else (*frame[:2], 1)
            return Column(**common, kind="depth", shape=shape, dtype=info.dtype)
    is_cloud = entry.key == OBS_POINT_CLOUD
    has_colors = is_cloud and frame[-1] == 6 and info.dtype.kind == "f" and choices.color_range != "none"
    if is_cloud and choices.points is not None:
        if choices.points > frame[0]:
            raise InputError(f"--resample-points={choices.points}: data/{entry.array} has only {frame[0]} points.")
        frame = (choices.points, *frame[1:])
    return Column(
        **common,
        kind="values",
        shape=frame,
        dtype=info.dtype,
        colors=(3, 6) if has_colors else None,
        unit_colors=has_colors and is_unit,
        points=choices.points if is_cloud else None,
    )


def _misfit(key: str, frame: tuple[int, ...]) -> str | None:
    """The shape that a column must have, if that of one row is another."""
    if key in VECTORS and len(frame) != 1:
        return "a vector"
    if key in CLOUDS and (len(frame) != 2 or frame[1] < 3):
        return "(points, 3 or more)"
    return None


def _column_name(name: str) -> str:
    """An array's own name as a column that neither LeRobot nor a policy takes for something else."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", ".", name)
    special = (
        plain in DEFAULT_FEATURES or plain == "task" or "image" in plain or plain.startswith((ACTION, "observation"))
    )
    return f"source.{plain.replace('image', 'img')}" if special else plain


def _looks_like_image(name: str, info: ArrayInfo) -> bool:
    base = name.rpartition("/")[2].lower()
    named = any(word in base for word in ("img", "image", "rgb", "camera", "color", "colour", "pixels"))
    return named or info.dtype == np.uint8


def _is_image(frame: tuple[int, ...]) -> bool:
    return len(frame) == 3 and 3 in (frame[0], frame[2]) and min(frame[1], max(frame[0], frame[2])) > 3


def _is_depth(frame: tuple[int, ...]) -> bool:
    return len(frame) == 2 or (len(frame) == 3 and 1 in (frame[0], frame[2]))


def _is_cloud(info: ArrayInfo) -> bool:
    frame = info.shape[1:]
    return len(frame) == 2 and frame[0] >= SMALLEST_CLOUD and frame[1] in (3, 6) and info.dtype.kind == "f"
