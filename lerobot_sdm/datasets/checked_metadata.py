"""Check a dataset's metadata when LeRobot's training reads them. Importing this module does not import `damage`."""

from pathlib import Path
from types import ModuleType
from typing import Any

from lerobot_sdm.datasets.fast_loading import FACTORY
from lerobot_sdm.datasets.import_hook import when_imported
from lerobot_sdm.errors import InputError
from lerobot_sdm.lerobot_internals import patch


def install(factory: ModuleType) -> None:
    """Make LeRobot's training check the dataset's metadata when it reads them."""
    read = factory.LeRobotDatasetMetadata

    def read_and_check(repo_id: str, root: Any = None, *args: Any, **kwargs: Any) -> Any:
        from lerobot_sdm.datasets.damage import STATS, check_dataset, damage_is_an_input_error

        with damage_is_an_input_error(repo_id, root):
            meta = read(repo_id, root, *args, **kwargs)
        check_dataset(Path(meta.root))  # It may just have been downloaded from the Hub.
        if meta.total_episodes and meta.stats is None:
            raise InputError(
                f"dataset {meta.root}: {STATS} is missing, so nothing would be normalized. Copy or download it "
                "again, or create it with `lerobot-sdm edit-dataset FOLDER --recompute-stats --root=NEW`."
            )
        return meta

    patch(factory, "LeRobotDatasetMetadata", read_and_check)


def register() -> None:
    """Install as soon as LeRobot's factory is imported."""
    when_imported(FACTORY, install)
