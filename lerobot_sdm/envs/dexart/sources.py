"""Sources of DexArt's bodies: made by this package, or read from the official assets, never both."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lerobot_sdm.envs.dexart.objects import ArticulatedObject, resolve_objects

if TYPE_CHECKING:
    import mujoco


class BodySource(Protocol):
    """Gives robots and objects to scenes.

    Attributes:
        label: Label that results with these bodies must carry.
    """

    label: str

    def names(self, task: str, objects: str) -> tuple[str, ...]:
        """The objects that `--env.objects` names, see `resolve_objects`."""
        ...

    def robot(self) -> "mujoco.MjSpec":
        """A fresh description of the robot, base link at the origin."""
        ...

    def thing(self, task: str, name: str) -> ArticulatedObject:
        """A fresh description of an object."""
        ...


class StandIns:
    """Simple solids; the robot's kinematics are the real ones."""

    label = "stand-in"

    def names(self, task: str, objects: str) -> tuple[str, ...]:
        return resolve_objects(task, objects, official=False)

    def robot(self) -> "mujoco.MjSpec":
        from lerobot_sdm.envs.dexart.robot import stand_in_robot

        return stand_in_robot()

    def thing(self, task: str, name: str) -> ArticulatedObject:
        from lerobot_sdm.envs.dexart.stand_ins import stand_in

        return stand_in(task, name)


def body_source(assets_dir: str | Path | None, task: str, objects: str) -> tuple[BodySource, tuple[str, ...]]:
    """The source of an environment's bodies, and the names of its objects.

    Args:
        assets_dir: The official asset folder; None for stand-ins.
        task: Whose objects.
        objects: See `resolve_objects`.

    Raises:
        InputError: A name is not in the lists, or a file is missing or malformed.
    """
    if assets_dir is None:
        source = StandIns()
        return source, source.names(task, objects)
    from lerobot_sdm.envs.dexart.assets import OfficialAssets

    source = OfficialAssets(Path(assets_dir), task)
    names = source.names(task, objects)
    source.check(names)
    return source, names
