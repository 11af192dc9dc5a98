"""LeRobot's own training code reads through the cache, and can be kept from it."""

import subprocess
import sys

import pytest
from lerobot.configs.default import DatasetConfig
from lerobot.configs.train import TrainPipelineConfig
from lerobot.datasets import factory
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from make_datasets import write_dataset

import lerobot_policy_sdm  # noqa: F401 - installs the cache
from lerobot_sdm.datasets import fast_loading
from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config

COLUMNS = {
    "observation.state": {"dtype": "float32", "shape": (9,)},
    "observation.point_cloud": {"dtype": "float32", "shape": (16, 3)},
    "action": {"dtype": "float32", "shape": (4,)},
}


@pytest.fixture
def train_config(tmp_path):
    root = write_dataset(tmp_path / "data", COLUMNS)
    dataset = DatasetConfig(repo_id="local/test", root=str(root), video_backend="pyav")
    return TrainPipelineConfig(dataset=dataset, policy=DP3Config(push_to_hub=False))


def test_lerobots_factory_opens_the_cache(train_config):
    dataset = factory.make_dataset(train_config)
    assert isinstance(dataset, CachedLeRobotDataset)
    assert dataset.is_cached
    assert dataset[0]["action"].shape == (train_config.policy.horizon, 4)


def test_so_it_does_for_held_out_episodes(train_config):
    train_config.dataset.eval_split = 0.3
    train, held_out = factory.make_train_eval_datasets(train_config)
    assert train.is_cached
    assert held_out.is_cached
    # Two tasks alternate over three episodes; the last of each is held out.
    assert (train.episodes, sorted(held_out.episodes)) == ([0], [1, 2])


def test_an_unknown_lerobot_is_left_alone(monkeypatch, caplog):
    monkeypatch.setattr(fast_loading, "version", lambda name: "0.7.0")
    monkeypatch.setattr(factory, "LeRobotDataset", LeRobotDataset)
    with caplog.at_level("INFO", logger="lerobot_sdm"):
        fast_loading.register()
    assert factory.LeRobotDataset is LeRobotDataset
    assert "0.7.0" in caplog.text


@pytest.mark.parametrize("value", ["0", "false", "OFF"])
def test_the_switch_turns_it_off(monkeypatch, value):
    monkeypatch.setenv(fast_loading.SWITCH, value)
    monkeypatch.setattr(factory, "LeRobotDataset", LeRobotDataset)
    fast_loading.register()
    assert factory.LeRobotDataset is LeRobotDataset
    monkeypatch.delenv(fast_loading.SWITCH)
    fast_loading.register()
    assert factory.LeRobotDataset is fast_loading.open_dataset


@pytest.mark.slow
@pytest.mark.parametrize("first_import", ["lerobot_policy_sdm", "lerobot_sdm.datasets.cached"])
def test_any_order_of_imports_works(first_import):
    program = (
        f"import {first_import}, sys\n"
        "before = 'lerobot.datasets.factory' in sys.modules\n"
        "import lerobot_policy_sdm\n"
        "from lerobot.datasets import factory\n"
        "print(before, factory.LeRobotDataset.__module__)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    # Importing the plugin alone leaves LeRobot's datasets alone.
    assert said.split() == [str(first_import != "lerobot_policy_sdm"), "lerobot_sdm.datasets.fast_loading"]
