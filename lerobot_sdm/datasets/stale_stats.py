"""Statistics that do not belong to a dataset's columns.

LeRobot's `modify_features` adds and removes columns but leaves the statistics of each episode as they were: those of
removed columns stay, those of new ones are missing. LeRobot's tools then fail on the former when they split or delete,
and lose the statistics of the latter.
"""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.utils.constants import DEFAULT_FEATURES

from lerobot_sdm.datasets.write import VIDEO_BACKEND

PREFIX = "stats/"
WITHOUT_STATS = ("string", "image", "video")
"""Types of columns for which LeRobot computes no statistics from data files."""


def without_stale_stats(dataset: LeRobotDataset, folder: Path) -> LeRobotDataset:
    """The dataset, or a copy of it in `folder` if its episodes have statistics of columns that it lacks."""
    files = sorted((dataset.root / "meta" / "episodes").rglob("*.parquet"))
    stale = {file.relative_to(dataset.root): _stale(dataset, pq.read_schema(file).names) for file in files}
    if not any(stale.values()):
        return dataset
    shutil.copytree(dataset.root, folder)
    for file, columns in stale.items():
        pd.read_parquet(folder / file).drop(columns=columns).to_parquet(folder / file, index=False)
    return LeRobotDataset(dataset.repo_id, root=folder, video_backend=VIDEO_BACKEND)


def lacks_stats(dataset: LeRobotDataset) -> bool:
    """Whether a numeric column has no statistics."""
    numeric = {
        key
        for key, feature in dataset.features.items()
        if feature["dtype"] not in WITHOUT_STATS and key not in DEFAULT_FEATURES
    }
    return not numeric <= set(dataset.meta.stats or {})


def _stale(dataset: LeRobotDataset, columns: list[str]) -> list[str]:
    named = {column: column.removeprefix(PREFIX).rpartition("/")[0] for column in columns if column.startswith(PREFIX)}
    return [column for column, key in named.items() if key not in dataset.features]
