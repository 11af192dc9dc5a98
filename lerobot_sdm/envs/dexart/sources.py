"""Sources of DexArt's bodies: made by this package, or read from the official assets, never both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lerobot_sdm.envs.dexart.objects import resolve_objects
from lerobot_sdm.envs.dexart.robot import stand_in_robot
from lerobot_sdm.envs.dexart.stand_ins import stand_in

if TYPE_CHECKING:
    from lerobot_sdm.envs.dexart.assets import OfficialAssets


class StandIns:
    """Simple solids; the robot's kinematics are the real ones."""

    label = "stand-in"
    robot = staticmethod(stand_in_robot)
    thing = staticmethod(stand_in)


def body_source(
    assets_dir: str | Path | None, task: str, objects: str
) -> tuple[StandIns | OfficialAssets, tuple[str, ...]]:
    """The source of an environment's bodies, and the names of its objects.

    Args:
        assets_dir: The official asset folder; None for stand-ins.
        task: Whose objects.
        objects: See `resolve_objects`.

    Raises:
        InputError: A name is not in the lists, or a file is missing or malformed.
    """
    if assets_dir is None:
        return StandIns(), resolve_objects(task, objects, official=False)
    from lerobot_sdm.envs.dexart.assets import OfficialAssets

    source = OfficialAssets(Path(assets_dir), task)
    names = resolve_objects(task, objects, official=True)
    source.check(names)
    return source, names
