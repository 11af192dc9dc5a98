"""Recording real episodes: reproducible, filtered, balanced, all or nothing, and resumable."""

import json
import os
import signal
import time
from pathlib import Path
from typing import ClassVar

import filelock
import numpy as np
import psutil
import pytest
from full_disk import files_of_at_most
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from warm_start import start_forked

from lerobot_sdm.cards.privacy import private_passages
from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.datasets.record import RecordConfig, _fingerprint, record
from lerobot_sdm.datasets.write import PROVENANCE
from lerobot_sdm.envs.metaworld.configuration import MetaWorldPointCloudEnvConfig
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import Expert, make_expert
from lerobot_sdm.processes.threads import available_cores

pytest_plugins = ("warm_start",)

BOOKKEEPING = {"timestamp", "frame_index", "episode_index", "index", "task_index", "task"}


class IdleExpert(Expert):
    """Never moves, so it never succeeds."""

    name: ClassVar[str] = "idle"

    def plan(self, env):
        return np.zeros(4)


class FlakyExpert(Expert):
    """Drives as the script does, but only from starts with an even seed."""

    name: ClassVar[str] = "flaky"

    def reset(self, env, seed, variant=0):
        super().reset(env, seed, variant)
        self._script = make_expert("scripted", self.task) if seed % 2 == 0 else None

    def plan(self, env):
        return self._script.act(env) if self._script else np.zeros(4)


class ReadingExpert(IdleExpert):
    """Reads a folder and tells its path."""

    name: ClassVar[str] = "reading"
    reads: ClassVar[str] = "a folder"

    def __init__(self, task, action_noise=0.0, clip=True, path=None):
        super().__init__(task, action_noise, clip)
        self._path = path

    def provenance(self):
        return super().provenance() | {"path": self._path, "note": "hand-made"}


def small_env(**options) -> MetaWorldPointCloudEnvConfig:
    return MetaWorldPointCloudEnvConfig(**{"task": "drawer-open", "num_points": 32, "camera_size": 48} | options)


def brief(root: Path, **options) -> RecordConfig:
    """A few frames per episode, all kept: for what does not depend on success."""
    return RecordConfig(env=small_env(episode_length=8), root=root, keep="all", **options)


def columns_of(root: Path) -> dict[str, np.ndarray]:
    dataset = CachedLeRobotDataset("local/test", root=root, video_backend="pyav")
    return {key: np.asarray(value) for key, value in dataset.__getitems__(range(len(dataset))).whole.items()}


def provenance_of(root: Path) -> dict:
    return json.loads((root / PROVENANCE).read_text())


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def drawer(tmp_path_factory) -> Path:
    """Two full episodes, recorded in this process."""
    root = tmp_path_factory.mktemp("recorded") / "drawer-open"
    assert record(RecordConfig(env=small_env(), episodes=2, root=root, seed=5)) == root
    return root


def test_the_dataset_is_what_lerobot_expects(drawer):
    dataset = LeRobotDataset("local/drawer-open", root=drawer, video_backend="pyav")
    assert (dataset.fps, dataset.num_episodes, len(dataset)) == (80, 2, 400)
    item = dataset[0]
    assert set(item) - BOOKKEEPING == {
        "observation.state",
        "observation.point_cloud",
        "action",
        "next.reward",
        "next.success",
    }
    assert item["observation.point_cloud"].shape == (32, 3)
    assert dataset.meta.stats["observation.point_cloud"]["min"].shape == (3,)
    assert item["task"] == "Open a drawer"
    assert leftovers(drawer.parent) == ["drawer-open"]
    assert "2 demonstrations of `drawer-open`" in (drawer / "README.md").read_text()


def test_rows_hold_what_was_seen_done_and_reached(drawer):
    columns = columns_of(drawer)
    env = small_env(terminate_on_success=False)
    (vector_env,) = env.create_envs(1)["drawer-open"].values()
    sim = vector_env.envs[0].unwrapped
    observation, _ = sim.reset(seed=6)
    for row in range(200, 210):
        np.testing.assert_array_equal(columns["observation.state"][row], observation["agent_pos"])
        np.testing.assert_array_equal(columns["observation.point_cloud"][row], observation["point_cloud"])
        observation, reward, _, _, info = sim.step(columns["action"][row])
        assert columns["next.reward"][row] == np.float32(reward)
        assert columns["next.success"][row] == info["is_success"]
    vector_env.close()
    assert np.abs(columns["action"]).max() <= 1


def test_provenance_tells_how_to_record_it_again(drawer):
    told = provenance_of(drawer)
    assert told["task"] == "drawer-open"
    assert told["env"]["num_points"] == 32
    assert told["expert"] == {
        "name": "scripted",
        "action_noise": 0.0,
        "clip": True,
        "policy": "SawyerDrawerOpenV3Policy",
    }
    assert [(e["attempt"], e["seed"], e["frames"]) for e in told["episodes"]] == [(0, 5, 200), (1, 6, 200)]
    successes = columns_of(drawer)["next.success"].reshape(2, 200).sum(axis=1)
    assert [e["success_steps"] for e in told["episodes"]] == successes.tolist()
    assert {"mujoco", "metaworld", "lerobot"} <= set(told["versions"])


def test_failed_starts_are_left_out_and_named(tmp_path):
    config = RecordConfig(
        env=small_env(camera_size=24),
        episodes=2,
        root=tmp_path / "flaky",
        seed=1,
        expert=f"{__name__}:FlakyExpert",
        stop_after_success=3,
    )
    told = provenance_of(record(config))
    assert [episode["seed"] for episode in told["episodes"]] == [2, 4]
    assert [attempt["seed"] for attempt in told["failed"]] == [1, 3]
    columns = columns_of(config.root)
    for number, episode in enumerate(told["episodes"]):
        success = columns["next.success"][columns["episode_index"] == number]
        # First success, and three steps more.
        assert np.flatnonzero(success)[0] == len(success) - 4
        assert episode["frames"] == len(success) < 200
        assert episode["success_steps"] >= 5


def test_both_ways_are_recorded_from_each_start(tmp_path):
    config = RecordConfig(env=small_env(task="detour", frame="world"), episodes=2, root=tmp_path / "detour")
    told = provenance_of(record(config))
    assert [(episode["seed"], episode["variant"]) for episode in told["episodes"]] == [(0, 0), (0, 1)]
    hands = columns_of(config.root)["observation.state"].reshape(2, 200, 9)[..., 0]
    # Same start, then left of the wall's end and right of it.
    assert hands[0, 0] == hands[1, 0]
    assert hands[0].min() < -0.12
    assert hands[1].max() > 0.12
    with pytest.raises(InputError, match="multiple of 2"):
        record(RecordConfig(env=small_env(task="detour"), episodes=3, root=tmp_path / "odd"))


def test_no_folder_of_this_machine_is_written(tmp_path):
    folder = tmp_path / "my assets"
    folder.mkdir()
    root = record(
        brief(tmp_path / "public", episodes=1, expert=f"{__name__}:ReadingExpert", expert_path=folder, workers=1)
    )
    assert provenance_of(root)["expert"]["path"] == "my assets"
    assert provenance_of(root)["expert"]["note"] == "hand-made"
    assert str(tmp_path) not in (root / "README.md").read_text()
    assert list(private_passages(root)) == []


def test_pictures_are_recorded_on_request(tmp_path):
    root = record(brief(tmp_path / "pictures", episodes=1, image=True))
    dataset = LeRobotDataset("local/test", root=root, video_backend="pyav")
    assert dataset.meta.features["observation.image"]["dtype"] == "image"
    picture = dataset[3]["observation.image"]
    assert picture.shape == (3, 48, 48)
    assert picture.std() > 0.05


def test_an_expert_that_never_succeeds_ends_the_recording(tmp_path):
    config = RecordConfig(
        env=small_env(episode_length=10),
        root=tmp_path / "never",
        expert=f"{__name__}:IdleExpert",
        max_failures=3,
    )
    with pytest.raises(InputError, match=r"drawer-open: expert '.*IdleExpert' failed 4 of 4 episodes"):
        record(config)
    assert leftovers(tmp_path) == []


def test_existing_folders_are_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="exists already"):
        record(brief(tmp_path / "mine"))
    assert leftovers(tmp_path) == ["mine"]
    assert leftovers(tmp_path / "mine") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "--episodes=0"),
        ({"workers": 0}, "--workers=0"),
        ({"seed": -1}, "--seed=-1"),
        ({"stop_after_success": 0}, "--stop_after_success=0"),
        ({"action_noise": -1.0}, "action_noise"),
        ({"expert": "scriptd"}, "scripted"),
    ],
)
def test_values_that_cannot_work_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        record(brief(tmp_path / "refused", **options))
    assert leftovers(tmp_path) == []


def test_only_one_recording_of_the_same(tmp_path):
    config = brief(tmp_path / "data", episodes=1)
    folder = tmp_path / f".data.recording-{_fingerprint(config.checked())}"
    folder.mkdir()
    with filelock.FileLock(folder / "lock"), pytest.raises(InputError, match="another process is writing"):
        record(config)
    assert leftovers(folder) == ["lock"]


def test_only_one_task_goes_into_a_dataset(tmp_path):
    with pytest.raises(InputError, match="28 tasks"):
        record(RecordConfig(env=small_env(task="easy"), root=tmp_path / "many"))


@pytest.mark.slow
def test_a_killed_recording_goes_on_where_it_stopped(tmp_path, warm):
    root = tmp_path / "killed"
    options = ("--env.num_points=32", "--env.camera_size=48", "--env.episode_length=8", "--keep=all")
    command = [
        "lerobot-sdm",
        "record",
        "--env.type=metaworld_pc",
        f"--root={root}",
        "--episodes=10000",
        "--workers=3",
        *options,
    ]
    process = start_forked(warm, *command)
    try:
        patience = time.monotonic() + 120
        while not list(tmp_path.glob(".killed.recording-*/attempt-00000.npz")):
            assert process.poll() is None
            assert time.monotonic() < patience
            time.sleep(0.05)
        workers = psutil.Process(process.pid).children()
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert len(workers) >= min(2, available_cores() - 1)
    # Workers do not outlive the process that they work for.
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert not root.exists()

    # Mark a finished attempt, to see whether it is used again.
    (finished,) = tmp_path.glob(".killed.recording-*/attempt-00000.npz")
    with np.load(finished) as stored:
        marked = {key: stored[key] for key in stored.files} | {"next.reward": np.full((8, 1), 123, np.float32)}
    np.savez(finished, **marked)
    record(brief(root, episodes=3))
    rewards = columns_of(root)["next.reward"].reshape(3, 8)
    assert (rewards == 123).all(axis=1).tolist() == [True, False, False]
    assert leftovers(tmp_path) == ["killed"]


def test_a_full_disk_loses_no_finished_attempt(tmp_path):
    """Full while an attempt is stored, then while the dataset is written; both times the same call goes on."""
    root = tmp_path / "full"
    with files_of_at_most(1000), pytest.raises(InputError, match=r"--root=.*the disk is full"):
        record(brief(root, episodes=3))
    assert not root.exists()
    assert not list(tmp_path.rglob("attempt-*.npz"))

    # An attempt has 5 kB, the dataset's file 18.
    with files_of_at_most(8_000), pytest.raises(InputError, match=r"--root=.*the disk is full"):
        record(brief(root, episodes=3))
    assert not root.exists()
    kept = {path.name: path.stat().st_ino for path in tmp_path.rglob("attempt-*.npz")}
    assert len(kept) == 3

    assert record(brief(root, episodes=3)) == root
    assert leftovers(tmp_path) == ["full"]
    assert len(columns_of(root)["index"]) == 3 * 8
