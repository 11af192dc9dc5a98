"""Recording Adroit as the DP3 scripts do: their filter, their lengths, and a dataset that policies train on."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.datasets.record import RecordConfig, record
from lerobot_sdm.datasets.write import PROVENANCE
from lerobot_sdm.envs.adroit.configuration import AdroitPointCloudEnvConfig
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import Expert

PUBLIC = Path(__file__).parents[2] / "../shared/data/dapg/hammer-v0.pickle"


class Poltergeist(Expert):
    """Holds the door open by other means: five control steps for even seeds, four for odd ones."""

    name: ClassVar[str] = "poltergeist"

    def reset(self, env, seed, variant=0):
        super().reset(env, seed, variant)
        self._left = 5 - seed % 2

    def plan(self, env):
        if self._left > 0:
            state = env.env_state
            state["qpos"][-2:] = [1.5, 1.8]
            env.set_env_state(state | {"qvel": np.zeros(30)})
        elif self._left == 0:
            env.set_env_state(env.env_state | {"qpos": np.zeros(30), "qvel": np.zeros(30)})
        self._left -= 1
        return np.zeros(28)


def small_env(**options) -> AdroitPointCloudEnvConfig:
    return AdroitPointCloudEnvConfig(**{"task": "door", "num_points": 32, "camera_size": 24} | options)


def columns_of(root: Path) -> dict[str, np.ndarray]:
    dataset = CachedLeRobotDataset("local/test", root=root, video_backend="pyav")
    return {key: np.asarray(value) for key, value in dataset.__getitems__(range(len(dataset))).whole.items()}


def test_ten_simulator_steps_at_the_goal_are_enough_and_eight_are_not(tmp_path):
    config = RecordConfig(
        env=small_env(episode_length=8), episodes=2, root=tmp_path / "door", expert=f"{__name__}:Poltergeist"
    )
    told = json.loads((record(config) / PROVENANCE).read_text())
    assert told["rules"]["min_success_steps"] == 10
    assert [(episode["seed"], episode["success_steps"]) for episode in told["episodes"]] == [(0, 10), (2, 10)]
    assert [attempt["seed"] for attempt in told["failed"]] == [1]
    assert "gymnasium-robotics" in told["versions"]
    # Rows say whether the goal held after their action, not what the rule makes of the episode in the end.
    success = columns_of(config.root)["next.success"].reshape(2, 8)
    assert success.tolist() == [[True] * 5 + [False] * 3] * 2


def test_pen_demonstrations_have_dp3s_length(tmp_path):
    """A hundred control steps, where an evaluation has fifty."""
    config = RecordConfig(
        env=small_env(task="pen", success_rule="gymnasium_robotics"),
        episodes=1,
        root=tmp_path / "pen",
        expert="still_expert:StillExpert",
        keep="all",
    )
    columns = columns_of(record(config))
    assert columns["action"].shape == (100, 24)
    assert columns["observation.state"].shape == (100, 24)


def test_datasets_of_the_two_hammers_do_not_meet():
    config = RecordConfig(env=small_env(task="hammer"), expert="still_expert:StillExpert").checked()
    assert (config.root, config.repo_id) == (Path("data/adroit-hammer"), "local/adroit-hammer")


def test_a_changed_file_is_another_recording(tmp_path):
    from lerobot_sdm.datasets.record import _fingerprint

    policy = tmp_path / "policy.pickle"
    found = []
    for content in (b"a", b"b", b"a"):
        policy.write_bytes(content)
        found.append(_fingerprint(RecordConfig(env=small_env(), expert="dapg", expert_path=policy)))
    assert found[0] == found[2] != found[1]


@pytest.mark.skipif(not PUBLIC.exists(), reason="needs the shared hand_dapg policies")
def test_an_expert_from_a_file_records_what_it_did(tmp_path):
    config = RecordConfig(
        env=small_env(task="hammer"), episodes=1, root=tmp_path / "hammer", expert="dapg", expert_path=PUBLIC
    )
    columns = columns_of(record(config))
    assert columns["action"].shape == (100, 26)
    assert np.abs(columns["action"]).max() <= 1
    assert columns["next.success"][-1]
    wrong = RecordConfig(env=small_env(), root=tmp_path / "door", expert="dapg", expert_path=PUBLIC)
    with pytest.raises(InputError, match="maps 46 observations to 26 actions"):
        record(wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["hammer"]
