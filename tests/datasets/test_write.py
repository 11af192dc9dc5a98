"""What an interrupted call leaves of a dataset: nothing that writes later, or under the name of a repeated call."""

import contextlib
import gc
import shutil

import numpy as np
import pytest
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.envs.configs import EnvConfig
from lerobot.utils.constants import ACTION, OBS_STATE

from lerobot_sdm.datasets.episodes import Attempt, Episode
from lerobot_sdm.datasets.write import finalized, new_dataset, write
from lerobot_sdm.errors import InputError


@EnvConfig.register_subclass("test_write_two_numbers")
class TwoNumbersConfig(EnvConfig):
    """States and actions of two numbers."""

    def __init__(self):
        super().__init__(
            features={name: PolicyFeature(FeatureType.STATE, (2,)) for name in ("action", "agent_pos")},
            features_map={"action": ACTION, "agent_pos": OBS_STATE},
        )

    @property
    def gym_kwargs(self) -> dict:
        return {}


def episode(folder, number: int, action: float):
    """The file of an episode of three frames."""
    numbers = np.full((3, 2), action, np.float32)
    frames = {ACTION: numbers, OBS_STATE: np.ones_like(numbers), "next.reward": numbers[:, :1]}
    path = folder / f"attempt-{number}.npz"
    Episode(Attempt(number, number, 0), True, 3, frames=frames | {"next.success": frames["next.reward"] > 0}).save(path)
    return path


def test_a_failed_dataset_is_not_written_to_later(tmp_path):
    """LeRobot's writers keep episodes in memory, and write them when they are collected as garbage."""
    paths = [episode(tmp_path, 0, 1.0), episode(tmp_path, 1, np.nan)]
    root = tmp_path / "dataset"
    with pytest.raises(InputError, match=r"episode 1") as error:
        write(root, "local/test", TwoNumbersConfig(), paths, {"task_description": "stand still"})
    shutil.rmtree(root)
    del error  # Its traceback holds the writers.
    gc.collect()
    assert not root.exists()


def test_a_dataset_that_cannot_be_finalized_tells_the_first_error(tmp_path):
    meta = LeRobotDatasetMetadata.create("local/test", 10, {}, root=tmp_path / "dataset", use_videos=False)
    shutil.rmtree(tmp_path / "dataset")
    (tmp_path / "dataset").write_text("in the way")
    meta._metadata_buffer.append({"meta/episodes/chunk_index": [0], "meta/episodes/file_index": [0]})
    with pytest.raises(InputError, match="the first"), finalized(meta):
        raise InputError("the first")
    # In contrast, an error of finalizing itself is told.
    with pytest.raises(OSError, match="dataset"), finalized(meta):
        pass


def test_a_repeated_call_writes_to_another_folder(tmp_path):
    folder, root = tmp_path / "collected", tmp_path / "root"
    folder.mkdir()
    with contextlib.suppress(InterruptedError), new_dataset(folder, root) as first:
        (first / "meta").mkdir(parents=True)
        raise InterruptedError
    assert first.exists()
    with new_dataset(folder, root) as second:
        assert not first.exists()
        assert second != first
        second.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
