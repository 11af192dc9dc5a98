"""Maps arrays of a store to columns, as given or guessed from names and shapes."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from lerobot.utils.constants import ACTION, DEFAULT_FEATURES, OBS_IMAGE, OBS_IMAGES, OBS_STATE

from lerobot_sdm.clouds import IMAGINED_ROBOT, POINT_CLOUD
from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.parts import (
    ALL,
    MOST_CHANNELS,
    SMALLEST_CLOUD,
    Part,
    as_vector,
    lies_on_its_side,
    taken_shape,
)
from lerobot_sdm.datasets.convert.source import ArrayInfo
from lerobot_sdm.errors import InputError, check_at_least, check_known

OBS_DEPTH = "observation.depth"

NAMED = {
    "action": ACTION,
    "actions": ACTION,
    "state": OBS_STATE,
    "agent_pos": OBS_STATE,
    "robot_state": OBS_STATE,
    "qpos": OBS_STATE,
    "point_cloud": POINT_CLOUD,
    "pointcloud": POINT_CLOUD,
    "pcd": POINT_CLOUD,
    "imagin_robot": IMAGINED_ROBOT,
}
VECTORS = (ACTION, OBS_STATE, "observation.environment_state")
CLOUDS = (POINT_CLOUD, IMAGINED_ROBOT)
RESERVED = frozenset({*DEFAULT_FEATURES, "task"})
"""Columns that LeRobot fills itself, and the key under which it returns the task of a frame."""
LARGEST_RANK = 5  # limit of LeRobot
ENTRY = re.compile(
    r"(?P<array>[^=\[\]]+)"
    r"(\[(?!\])((?P<row>-?\d+)(?=[,\]]),?)?((?P<start>(-?\d+)?):(?P<stop>(-?\d+)?))?\])?"
    r"=(?P<key>[A-Za-z0-9_.-]+)"
)


class Entry(NamedTuple):
    """One line of a mapping.

    Attributes:
        array: Name of the array under `data/`.
        key: Name of the column.
        channels: Bounds of a slice of the array's last axis.
        row: Index into the first axis of a frame; None for all entries.
    """

    array: str
    key: str
    channels: tuple[int | None, int | None] = ALL
    row: int | None = None


@dataclass(frozen=True)
class Choices:
    """How columns are stored.

    Attributes:
        images: `image` for PNG, `video`, or `skip`.
        depth: `image` for LeRobot's depth images, `array` for a plain column, or `skip`.
        color_range: Range of colors that are not uint8: `0-255`, `0-1`, or `none` if they are not colors; None to
            detect it from the data.
        points: Subsample clouds to this many points.
    """

    images: str = "image"
    depth: str = "image"
    color_range: str | None = None
    points: int | None = None

    def __post_init__(self) -> None:
        check_known("--images", self.images, ("image", "video", "skip"))
        check_known("--depth", self.depth, ("image", "array", "skip"))
        if self.color_range is not None:
            check_known("--color-range", self.color_range, ("0-255", "0-1", "none"))
        check_at_least("--resample-points", self.points)


def parse(entries: Iterable[str], arrays: Mapping[str, ArrayInfo]) -> list[Entry]:
    """Parse a mapping given as `NAME=COLUMN`, `NAME[a:b]=COLUMN`, or `NAME[i]=COLUMN`.

    Raises:
        InputError: An entry cannot be parsed, or there is no such array.
    """
    parsed = []
    for entry in entries:
        match = ENTRY.fullmatch(entry)
        if match is None:
            raise InputError(
                f"--map {entry}: expected NAME=COLUMN, such as point_cloud=observation.point_cloud, NAME[a:b]=COLUMN "
                "for a slice of the last axis, or NAME[i]=COLUMN for an entry of the first axis of a frame. Column "
                "names consist of letters, digits, dots, dashes, and underscores."
            )
        check_known("--map", match["array"], arrays)
        bounds = tuple(int(match[bound]) if match[bound] else None for bound in ("start", "stop"))
        parsed.append(Entry(match["array"], match["key"], bounds, int(match["row"]) if match["row"] else None))
    return parsed


def complete(entries: Sequence[Entry], arrays: Mapping[str, ArrayInfo], optional: Collection[str] = ()) -> list[Entry]:
    """Complete a mapping with a column for every array, guessed from its name and shape.

    An array that no policy should see keeps its own name, and so does one whose column is already taken.

    Args:
        optional: Arrays without a guess.

    Returns:
        The entries in the order of the arrays; those of one column in the order given, at its first array.
    """
    given = {entry.array for entry in entries}
    taken = {entry.key for entry in entries}
    left = {name: info for name, info in arrays.items() if name not in given and name not in optional}
    images = [name for name, info in left.items() if _is_image(info.shape[1:]) and _looks_like_image(name, info)]
    depths = [name for name, info in left.items() if "depth" in name.lower() and _is_depth(info.shape[1:])]
    names = {name: NAMED.get(name.rpartition("/")[2].lower()) for name in arrays}
    has_named_cloud = POINT_CLOUD in names.values()
    guessed = []
    for name, info in left.items():
        key = names[name]
        if name in images:
            key = OBS_IMAGE if len(images) == 1 else f"{OBS_IMAGES}.{_column_name(name)}"
        elif name in depths:
            key = OBS_DEPTH if len(depths) == 1 else f"{OBS_DEPTH}.{_column_name(name)}"
        elif key is None and _is_cloud(info) and not has_named_cloud:
            key = POINT_CLOUD
        if key is None or key in taken or misfit(key, info.shape[1:] or (1,), name):
            key = _column_name(name)
        taken.add(key)
        guessed.append(Entry(name, key))
    order = {name: place for place, name in enumerate(arrays)}
    complete = [*entries, *guessed]
    first = {entry.key: order[entry.array] for entry in reversed(complete)}
    return sorted(complete, key=lambda entry: first[entry.key])


def columns_of(entries: Sequence[Entry], arrays: Mapping[str, ArrayInfo], choices: Choices) -> list[Column]:
    """Columns for the entries of a mapping. The entries of one column are its parts, joined in their order.

    Raises:
        InputError: An array does not have the shape or type that its column requires.
    """
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        parts.setdefault(entry.key, []).append(entry)
    columns = [column for group in parts.values() if (column := _column(group, arrays, choices))]
    if choices.points is not None and not any(column.key == POINT_CLOUD for column in columns):
        raise InputError(f"--resample-points={choices.points}: no array becomes '{POINT_CLOUD}'. Drop the option.")
    return columns


def _column(entries: Sequence[Entry], arrays: Mapping[str, ArrayInfo], choices: Choices) -> Column | None:
    key = entries[0].key
    label = f"--map data/{entries[0].array}={key}"
    if key in RESERVED:
        raise InputError(f"{label}: LeRobot reserves '{key}'. Choose another column.")
    # LeRobot treats every column with "image" in its name as pictures.
    is_picture = "image" in key
    parts = tuple(_part(entry, arrays[entry.array]) for entry in entries)
    dtype = np.result_type(*(arrays[entry.array].dtype for entry in entries))
    frame = _joined_shape(key, parts) if len(parts) > 1 else parts[0].shape
    if is_picture:
        return None if choices.images == "skip" else _picture(key, label, parts, frame, choices)
    if key.startswith(OBS_DEPTH):
        if choices.depth == "skip":
            return None
        if not _is_depth(frame):
            raise InputError(f"{label}: has shape {frame} per row; depth must be (H, W), (H, W, 1) or (1, H, W).")
        # LeRobot's depth images have one of these two dtypes; others stay plain numbers, so that no bit is lost.
        if choices.depth == "image" and dtype in (np.float32, np.uint16):
            shape = (*frame[1:], 1) if len(frame) == 3 and frame[0] == 1 else (*frame[:2], 1)
            return Column(parts, key, "depth", shape, dtype)
    is_cloud = key == POINT_CLOUD
    has_colors = is_cloud and frame[-1] == 6 and dtype.kind == "f" and choices.color_range != "none"
    if is_cloud and choices.points is not None:
        if choices.points > frame[0]:
            raise InputError(f"--resample-points={choices.points}: data/{entries[0].array} has only {frame[0]} points.")
        frame = (choices.points, *frame[1:])
    colors = (3, 6) if has_colors else None
    return Column(parts, key, "values", frame, dtype, colors=colors, points=choices.points if is_cloud else None)


def _part(entry: Entry, info: ArrayInfo) -> Part:
    """The part of an array that an entry takes, in the shape that its column requires."""
    label = f"--map data/{entry.array}={entry.key}"
    frame = taken_shape(info.shape[1:] or (1,), entry.row, entry.channels)
    if 0 in frame:
        raise InputError(f"{label}: has shape {info.shape[1:]} per row, and the slice is empty.")
    if len(frame) > LARGEST_RANK:
        raise InputError(
            f"{label}: has {len(frame)} axes per row, but LeRobot allows {LARGEST_RANK}. Exclude the array with "
            f"--skip {entry.array}."
        )
    if wanted := misfit(entry.key, frame, entry.array):
        raise InputError(f"{label}: has shape {frame} per row; '{entry.key}' must be {wanted}.")
    turned = entry.key in CLOUDS and lies_on_its_side(frame)
    if turned:
        frame = frame[::-1]
    elif entry.key in VECTORS:
        frame = as_vector(frame)
    return Part(entry.array, entry.row, entry.channels, turned, frame)


def _joined_shape(key: str, parts: Sequence[Part]) -> tuple[int, ...]:
    """The shape of a frame of several parts, concatenated along the first axis."""
    shapes = [part.shape for part in parts]
    listed = ", ".join(f"data/{part.origin} {part.shape}" for part in parts)
    is_list = all(len(shape) == 1 for shape in shapes) or key in CLOUDS
    if not is_list or "image" in key or key.startswith(OBS_DEPTH):
        raise InputError(
            f"--map: several arrays become '{key}' ({listed}), but only vectors and clouds can be joined. Give "
            "each its own column."
        )
    if len({shape[1:] for shape in shapes}) > 1:
        raise InputError(
            f"--map: several arrays become '{key}' ({listed}), but points with different channels cannot be joined. "
            "Take the same slice of the last axis of each, such as NAME[:3]."
        )
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def _picture(key: str, label: str, parts: tuple[Part, ...], frame: tuple[int, ...], choices: Choices) -> Column:
    if not _is_image(frame):
        raise InputError(f"{label}: has shape {frame} per row; pictures must be (H, W, 3) or (3, H, W).")
    channel_first = frame[-1] != 3
    shape = (*frame[1:], 3) if channel_first else frame
    return Column(parts, key, choices.images, shape, np.dtype(np.uint8), channel_first=channel_first, colors=(0, 3))


def misfit(key: str, frame: tuple[int, ...], name: str) -> str | None:
    """The shape that a column must have and how to get it; None if one row of the array `name` fits or can be
    reshaped to fit."""
    if key in VECTORS and len(as_vector(frame)) != 1:
        return (
            f"a vector. Take one of its {frame[0]} entries with --map '{name}[0]={key}'; several, with one --map "
            "each, are joined in the order given"
        )
    if key in CLOUDS and not _is_cloud_shape(frame):
        return "(points, 3 or more channels), with more points than channels"
    return None


def _is_cloud_shape(frame: tuple[int, ...]) -> bool:
    return len(frame) == 2 and (lies_on_its_side(frame) or 3 <= frame[1] <= max(frame[0], MOST_CHANNELS))


def _column_name(name: str) -> str:
    """An array's own name as a column name that neither LeRobot nor a policy interprets."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", ".", name)
    special = plain in RESERVED or "image" in plain or plain.startswith((ACTION, "observation"))
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
    frame = frame[::-1] if lies_on_its_side(frame) else frame
    return len(frame) == 2 and frame[0] >= SMALLEST_CLOUD and frame[1] in (3, 6) and info.dtype.kind == "f"
