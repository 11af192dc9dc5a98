"""Push-T's keypoints from stored poses: what gym-pusht's environment shows for the same pose."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import zarr
from example_scripts import load_script
from lerobot.datasets.lerobot_dataset import LeRobotDataset

pytest.importorskip("gym_pusht", reason="needs the extra `pusht`")

ROOT = Path(__file__).parents[2]
STORE = ROOT / "../shared/data/pusht/pusht_cchi_v7_replay.zarr"
REPO_ID = "local/pusht"
LENGTHS = (4, 3)


@pytest.fixture(scope="module")
def script():
    return load_script("pusht_keypoints.py")


@pytest.fixture(scope="module")
def env():
    env = gymnasium.make("gym_pusht/PushT-v0", obs_type="environment_state_agent_pos", disable_env_checker=True)
    env.reset(seed=0)
    yield env.unwrapped
    env.close()


@pytest.fixture
def converted(tmp_path) -> LeRobotDataset:
    """What `lerobot-sdm convert` makes of a Push-T store, in small."""
    features = {
        "observation.state": {"dtype": "float32", "shape": (2,), "names": None},
        "full_state": {"dtype": "float32", "shape": (5,), "names": None},
        "keypoint": {"dtype": "float32", "shape": (9, 2), "names": None},
        "observation.image": {"dtype": "image", "shape": (96, 96, 3), "names": ["height", "width", "channels"]},
        "action": {"dtype": "float32", "shape": (2,), "names": None},
    }
    dataset = LeRobotDataset.create(REPO_ID, 10, features, root=tmp_path / "data", use_videos=False)
    for length in LENGTHS:
        for _ in range(length):
            state = states(1)[0] + np.float32(dataset.num_frames)
            dataset.add_frame(
                {
                    "observation.state": state[:2],
                    "full_state": state,
                    "keypoint": np.zeros((9, 2), np.float32),
                    "observation.image": np.zeros((96, 96, 3), np.uint8),
                    "action": state[:2],
                    "task": "push",
                }
            )
        dataset.save_episode()
    dataset.finalize()
    return LeRobotDataset(REPO_ID, root=tmp_path / "data")


def states(count: int) -> np.ndarray:
    """Random (agent x, y, block x, y, angle), (count, 5) float32."""
    rng = np.random.default_rng(0)
    return rng.uniform([50, 50, 100, 100, 0], [450, 450, 400, 400, 2 * np.pi], (count, 5)).astype(np.float32)


def place(env, state: np.ndarray) -> None:
    """Put the environment into a stored state; its own reset turns the block about another point."""
    env.agent.position = state[:2].tolist()
    env.block.angle = float(state[4])
    env.block.position = state[2:4].tolist()
    for body in (env.agent, env.block):
        env.space.reindex_shapes_for_body(body)


def test_corners_of_the_two_bars(script):
    """The T of Diffusion Policy's simulator: a bar of 120 x 30 pixels, and one of 30 x 90 below it."""
    upright = [-60, 0, 60, 0, 60, 30, -60, 30, -15, 30, 15, 30, 15, 120, -15, 120]
    assert script.block_keypoints(np.zeros((1, 3)))[0].tolist() == upright
    # A quarter turn takes (x, y) to (-y, x).
    turned = np.array([[100 - y, 200 + x] for x, y in np.reshape(upright, (8, 2))])
    poses = np.array([[100, 200, np.pi / 2], [100, 200, np.pi / 2 + 2 * np.pi]])
    np.testing.assert_allclose(script.block_keypoints(poses), [turned.flatten()] * 2, atol=1e-4)


def test_they_are_what_the_environment_shows(script, env):
    stored = states(50)
    keypoints = script.block_keypoints(stored[:, script.BLOCK_POSE])
    for state, expected in zip(stored, keypoints, strict=True):
        place(env, state)
        observation = env.get_obs()
        np.testing.assert_array_equal(observation["environment_state"].astype(np.float32), expected)
        np.testing.assert_array_equal(observation["agent_pos"].astype(np.float32), state[:2])


@pytest.mark.skipif(not STORE.exists(), reason="needs the shared Push-T demonstrations")
def test_pictures_of_the_store_show_the_stored_poses(env):
    """The environment drawn in a stored state is the stored picture: the state means what the script takes it for."""
    data = zarr.open(STORE, mode="r")["data"]
    stored, pictures = data["state"][:150:15], data["img"][:150:15]
    for state, picture in zip(stored, pictures, strict=True):
        place(env, state)
        assert np.abs(env._render().astype(float) - picture).mean() < 0.2


@pytest.mark.parametrize("images", [False, True])
def test_dataset(script, converted, tmp_path, images):
    output = tmp_path / "keypoints"
    options = ["--repo-id", REPO_ID, "--root", str(converted.root), "--output", str(output)]
    script.main([*options, "--images"] if images else options)
    dataset = LeRobotDataset(f"{REPO_ID}-keypoints", root=output)
    assert dataset.num_episodes == len(LENGTHS)
    assert ("observation.image" in dataset.features) == images
    assert "keypoint" not in dataset.features
    frames = [dataset[row] for row in range(sum(LENGTHS))]
    poses = np.stack([frame["full_state"].numpy() for frame in frames])[:, script.BLOCK_POSE]
    written = np.stack([frame["observation.environment_state"].numpy() for frame in frames])
    np.testing.assert_array_equal(written, script.block_keypoints(poses))
    for name in ("min", "max"):
        statistics = dataset.meta.stats["observation.environment_state"][name]
        np.testing.assert_allclose(statistics, getattr(written, name)(axis=0), rtol=1e-6)
    assert np.array_equal(dataset.meta.stats["action"]["max"], converted.meta.stats["action"]["max"])


def test_refusals_leave_nothing(script, converted, tmp_path, capsys):
    existing, other = tmp_path / "existing", tmp_path / "other"
    existing.mkdir()
    with pytest.raises(SystemExit) as refusal:
        script.main(["--repo-id", REPO_ID, "--root", str(converted.root), "--output", str(existing)])
    assert refusal.value.code == 2
    assert "exists already" in capsys.readouterr().err
    del converted.meta.info.features["full_state"]
    with pytest.raises(script.InputError, match="no 'full_state'"):
        script.add_keypoints(converted, other, "local/new", images=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "existing"]
    assert not list(existing.iterdir())
