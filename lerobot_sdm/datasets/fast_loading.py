"""Makes LeRobot's training read through `CachedLeRobotDataset`.

LeRobot has no configuration for the dataset class, so this is the one place where the plugin reaches into it:
a single assignment, `lerobot.datasets.factory.LeRobotDataset = CachedLeRobotDataset`, done once per process.
"""

import importlib.util
import logging
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType

from packaging.specifiers import SpecifierSet

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


def install(factory: ModuleType) -> None:
    """Put the cached reader into LeRobot's dataset factory."""
    from lerobot_sdm.datasets.cached import CachedLeRobotDataset

    factory.LeRobotDataset = CachedLeRobotDataset


def uninstall() -> None:
    """Give LeRobot's dataset factory its own reader back."""
    from lerobot.datasets import factory
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    factory.LeRobotDataset = LeRobotDataset


class _InstallOnImport(MetaPathFinder):
    """Waits for the factory to be imported, so that importing this plugin does not import it (over a second)."""

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != FACTORY:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_then_install(module: ModuleType) -> None:
            execute(module)
            install(module)

        spec.loader.exec_module = execute_then_install
        return spec


def register() -> None:
    """Use the cached reader in LeRobot's training, now or as soon as LeRobot's factory is imported."""
    if not is_wanted():
        return
    if FACTORY in sys.modules:
        install(sys.modules[FACTORY])
    elif not any(isinstance(finder, _InstallOnImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _InstallOnImport())
