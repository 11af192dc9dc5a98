"""Makes LeRobot's training read through `CachedLeRobotDataset`.

LeRobot has no option for the dataset class, so the plugin replaces it here:
a single assignment to the name `LeRobotDataset` in `lerobot.datasets.factory`, done once per process.
"""

import logging
import os
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet

from lerobot_sdm.datasets.import_hook import when_imported
from lerobot_sdm.lerobot_internals import patch

if TYPE_CHECKING:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

logger = logging.getLogger(__name__)

SWITCH = "LEROBOT_SDM_FAST_LOADING"
FACTORY = "lerobot.datasets.factory"
# The cache reproduces the output of this reader; a later version may return something else.
KNOWN_LEROBOT = SpecifierSet(">=0.6.1,<0.7")


def is_wanted() -> bool:
    """Whether to install the cached reader: it is not switched off and supports this version of LeRobot."""
    if os.environ.get(SWITCH, "1").lower() in ("0", "false", "no", "off"):
        return False
    if version("lerobot") not in KNOWN_LEROBOT:
        logger.info(
            "LeRobot %s: fast data loading is off, because it supports only %s.", version("lerobot"), KNOWN_LEROBOT
        )
        return False
    return True


def open_dataset(*args: Any, **kwargs: Any) -> "LeRobotDataset":
    """Replacement for `LeRobotDataset` in LeRobot's factory; takes the same arguments.

    A function rather than the class, because the module of the class imports LeRobot's datasets, and that import
    triggers this replacement.
    """
    from lerobot_sdm.datasets.cached import CachedLeRobotDataset

    return CachedLeRobotDataset(*args, **kwargs)


def install(factory: ModuleType) -> None:
    """Put the cached reader into LeRobot's dataset factory."""
    patch(factory, "LeRobotDataset", open_dataset)


def register() -> None:
    """Use the cached reader in LeRobot's training, now or as soon as LeRobot's factory is imported.

    Importing the factory here would add over a second to the import of this plugin.
    """
    if is_wanted():
        when_imported(FACTORY, install)
