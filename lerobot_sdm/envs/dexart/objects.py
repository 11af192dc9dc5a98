"""The objects, seen and unseen: DexArt's official ones by id, and this package's stand-ins by number."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.dexart.state import HandleRange
from lerobot_sdm.errors import InputError, unknown_name

if TYPE_CHECKING:
    import mujoco

SPLITS = ("seen", "unseen")

STAND_INS_SEEN, STAND_INS_UNSEEN = 8, 4

OFFICIAL_IDS: dict[str, dict[str, tuple[int, ...]]] = {
    "faucet": {
        "seen": (148, 693, 822, 857, 991, 1011, 1053, 1288, 1343, 1370, 1466),
        "unseen": (1556, 1633, 1646, 1667, 1741, 1832, 1925),
    },
    "bucket": {
        "seen": (100431, 100435, 100438, 100439, 100441, 100444, 100446, 100448, 100454, 100461, 100462),
        "unseen": (100468, 100470, 100473, 100482, 100484, 100486, 102352, 102358),
    },
    "laptop": {
        "seen": (11395, 11405, 11406, 11477, 11581, 11586, 9996, 10090, 10098, 10101, 10125),
        "unseen": (9748, 9912, 9918, 9960, 9968, 9992),
    },
    "toilet": {
        "seen": (
            *(102677, 102687, 102689, 102692, 102697, 102699, 102701, 102703, 102707, 102708, 103234),
            *(102663, 102666, 102667, 102669, 102670, 102675),
        ),
        "unseen": (101320, 102621, 102622, 102630, 102634, 102645, 102648, 102651, 102652, 102654, 102658),
    },
}
"""PartNet-Mobility ids by task and split, in DexArt's order."""


@dataclass(frozen=True)
class ArticulatedObject:
    """An object ready to be put into a scene.

    Its description has, under its world, a body `object` (the root, jointless) and below it a body `handle` with a
    hinge `handle` and a site `handle` where the palm should go.

    Args:
        spec: As said; the root at the origin.
        handle_range: Of the hinge.
        offset: (3,) of the root from the robot's base, before chance, meters.
        yaw: Of the root, before chance, radians.
        free: Whether the root can move.
    """

    spec: "mujoco.MjSpec"
    handle_range: HandleRange
    offset: NDArray[np.float64]
    yaw: float = 0.0
    free: bool = False


def object_names(task: str, split: str, official: bool) -> tuple[str, ...]:
    """The names of a task's objects, such as `laptop-3` or `11395`."""
    if official:
        return tuple(map(str, OFFICIAL_IDS[task][split]))
    numbers = range(STAND_INS_SEEN + STAND_INS_UNSEEN)
    chosen = numbers[:STAND_INS_SEEN] if split == "seen" else numbers[STAND_INS_SEEN:]
    return tuple(f"{task}-{number}" for number in chosen)


def resolve_objects(task: str, objects: str, official: bool) -> tuple[str, ...]:
    """The objects that `--env.objects` names.

    Args:
        task: Whose.
        objects: `seen`, `unseen`, or comma-separated names.
        official: Whether names are official ids or those of stand-ins.

    Raises:
        InputError: A name is not in the lists, or none is given.
    """
    if objects in SPLITS:
        return object_names(task, objects, official)
    known = [name for split in SPLITS for name in object_names(task, split, official)]
    names = [part.strip() for part in str(objects).split(",") if part.strip()]
    if not names:
        raise InputError(f"objects={objects!r}: names no object. Give seen, unseen, or names such as {known[0]}.")
    for name in names:
        if name not in known:
            raise unknown_name("objects", name, [*SPLITS, *known])
    return tuple(dict.fromkeys(names))
