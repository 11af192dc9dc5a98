"""Makes LeRobot's training read through `CachedLeRobotDataset`.

LeRobot has no configuration for the dataset class, so this is the one place where the plugin reaches into it:
a single assignment to the name `LeRobotDataset` in `lerobot.datasets.factory`, done once per process.
"""

import logging
import os
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet

from lerobot_sdm.datasets.import_hook import when_imported

if TYPE_CHECKING:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

logger = logging.getLogger(__name__)

SWITCH = "LEROBOT_SDM_FAST_LOADING"
FACTORY = "lerobot.datasets.factory"
# The cache copies what this reader gives; a later one may give something else.
KNOWN_LEROBOT = SpecifierSet(">=0.6.1,<0.7")


def is_wanted() -> bool:
    """Whether the cached reader may be put in place: not switched off, and a LeRobot that it was written for."""
    if os.environ.get(SWITCH, "1").lower() in ("0", "false", "no", "off"):
        return False
    if version("lerobot") not in KNOWN_LEROBOT:
        logger.info("LeRobot %s: fast data loading is only known to fit %s.", version("lerobot"), KNOWN_LEROBOT)
        return False
    return True


def open_dataset(*args: Any, **kwargs: Any) -> "LeRobotDataset":
    """Stands where LeRobot's factory names `LeRobotDataset`; takes the same arguments.

    Not the class itself: its module imports LeRobot's datasets, whose import is what puts this in place.
    """
    from lerobot_sdm.datasets.cached import CachedLeRobotDataset

    return CachedLeRobotDataset(*args, **kwargs)


def install(factory: ModuleType) -> None:
    """Put the cached reader into LeRobot's dataset factory."""
    factory.LeRobotDataset = open_dataset


def register() -> None:
    """Use the cached reader in LeRobot's training, now or as soon as LeRobot's factory is imported.

    Importing the factory here would add over a second to the import of this plugin.
    """
    if is_wanted():
        when_imported(FACTORY, install)
