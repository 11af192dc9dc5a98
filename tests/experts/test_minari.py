"""Minari's episodes: driven again where the simulator reproduces them, left out where it does not."""

import numpy as np
import pytest
from adroit_files import drive_original, write_minari

from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.datasets.record import RecordConfig, record
from lerobot_sdm.envs.adroit.configuration import AdroitPointCloudEnvConfig
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts.minari import open_dataset

pytest.importorskip("minari", reason="needs the extra `minari`")

STEPS = 12


def small_env(task: str = "door", **options) -> AdroitPointCloudEnvConfig:
    return AdroitPointCloudEnvConfig(
        **{"task": task, "num_points": 32, "camera_size": 24, "action_repeat": 1} | options
    )


def brief(path, root, task: str = "door", episodes: int = 2, **options) -> RecordConfig:
    return RecordConfig(
        env=small_env(task, **options), expert="minari", expert_path=path, root=root, episodes=episodes, keep="all"
    )


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A dataset of three episodes, the second of which no simulator would give."""
    env, first = drive_original("door", 0, STEPS)
    _, second = drive_original("door", 1, STEPS)
    _, third = drive_original("door", 2, STEPS)
    second.observations[5] = second.observations[5] + 0.1
    return write_minari(tmp_path_factory.mktemp("minari"), "door-v0", env, [first, second, third]), (first, third)


@pytest.mark.parametrize("task", HAND_TASKS)
def test_episodes_come_back(task, tmp_path):
    env, episode = drive_original(task, 7, STEPS)
    path = write_minari(tmp_path, f"{task}-v0", env, [episode])
    root = record(brief(path, tmp_path / "recorded", task, episodes=1))
    dataset = CachedLeRobotDataset("local/test", root=root, video_backend="pyav")
    assert len(dataset) == STEPS
    columns = dataset.__getitems__(range(STEPS)).whole
    np.testing.assert_array_equal(np.asarray(columns["action"]), np.float32(episode.actions))
    # The hand's joints are part of the recorded observations; the last one has no action.
    hand = {"door": slice(3, 27), "hammer": slice(2, 26), "pen": slice(0, 24), "relocate": slice(6, 30)}[task]
    seen = np.asarray(episode.observations[:-1])[:, hand]
    np.testing.assert_allclose(np.asarray(columns["observation.state"]), seen, atol=1e-6)
    assert (np.asarray(columns["observation.point_cloud"]) != 0).any()


def test_what_is_not_reproduced_is_left_out(door, tmp_path, caplog):
    path, good = door
    root = record(brief(path, tmp_path / "recorded"))
    assert "Episode 1 of" in caplog.text
    assert "from the recording at step 5" in caplog.text
    dataset = CachedLeRobotDataset("local/test", root=root, video_backend="pyav")
    actions = np.asarray(dataset.__getitems__(range(2 * STEPS)).whole["action"])
    np.testing.assert_array_equal(actions, np.float32(np.concatenate([episode.actions for episode in good])))


def test_there_are_only_as_many_episodes_as_there_are(door, tmp_path):
    with pytest.raises(InputError, match="has 3 episodes, but recording needs number 3"):
        record(brief(door[0], tmp_path / "recorded", episodes=3))
    assert not (tmp_path / "recorded").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"action_repeat": 2}, "--env.action_repeat=2"),
        ({"episode_length": 5}, f"--env.episode_length=5: episode 0 has {STEPS} steps"),
        ({"task": "pen"}, "was made in AdroitHandDoor-v1, not in AdroitHandPen-v1"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(door, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        record(brief(door[0], tmp_path / "recorded", **options))
    assert list(tmp_path.iterdir()) == []


def test_another_version_of_the_environment_is_refused(door, tmp_path):
    import json
    import shutil

    changed = tmp_path / "door-v0"
    shutil.copytree(door[0], changed)
    metadata = json.loads((changed / "data/metadata.json").read_text())
    metadata["env_spec"] = metadata["env_spec"].replace("AdroitHandDoor-v1", "AdroitHandDoor-v0")
    (changed / "data/metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="was made in AdroitHandDoor-v0, not in AdroitHandDoor-v1"):
        open_dataset(changed, "door")


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a Minari dataset"):
        open_dataset(tmp_path, "door")
    with pytest.raises(InputError, match="a replay cannot have noise"):
        record(RecordConfig(env=small_env(), expert="minari", expert_path=tmp_path, action_noise=0.1))
