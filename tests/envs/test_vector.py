"""Vector environments: finished members rest, metrics stay right, processes draw."""

import numpy as np
import pytest
from lerobot.envs.factory import make_env_config

import lerobot_policy_sdm  # noqa: F401 - registers the environment type

SMALL = {"num_points": 8, "camera_size": 16, "render_size": 16}
STILL = np.zeros((2, 4), dtype=np.float32)


def build(n_envs, use_async, **kwargs):
    config = make_env_config("metaworld_pc", task="drawer-open", **SMALL, **kwargs)
    return config.create_envs(n_envs, use_async)["drawer-open"][0]


@pytest.fixture
def pair():
    env = build(2, False, episode_length=3)
    yield env
    env.close()


def test_nothing_is_built_before_the_first_reset(pair):
    assert [member.unwrapped._sim for member in pair.envs] == [None, None]


def test_a_finished_member_neither_simulates_nor_draws(pair):
    pair.reset(seed=[0, 1])
    # The first member is one step ahead and ends first.
    pair.envs[0].unwrapped._steps = 1
    for _ in range(2):
        last, rewards, _, truncated, _ = pair.step(STILL)
    last = {key: value[0].copy() for key, value in last.items()}
    assert truncated.tolist() == [True, False]
    assert rewards[0] > 0
    finished = pair.envs[0].unwrapped
    time, frame = finished._sim.data.time, pair.envs[0].render()
    finished._camera.take = None  # a picture taken from now on would raise
    observations, rewards, _, truncated, _ = pair.step(STILL)
    assert truncated[1]
    assert rewards[0] == 0
    for _ in range(4):
        observations, rewards, _, _, info = pair.step(STILL)
        assert rewards.tolist() == [0, 0]
        assert info["_is_success"].all()
    assert finished._sim.data.time == time
    np.testing.assert_array_equal(pair.envs[0].render(), frame)
    for key, value in last.items():
        np.testing.assert_array_equal(observations[key][0], value)


def test_any_reset_of_the_batch_starts_again(pair):
    first, _ = pair.reset(seed=[0, 1])
    for _ in range(5):
        pair.step(STILL)
    again, _ = pair.reset(seed=[0, 1])
    np.testing.assert_array_equal(first["point_cloud"], again["point_cloud"])
    for _ in range(5):
        pair.step(STILL)
    fresh, _ = pair.reset()
    assert (fresh["point_cloud"] != again["point_cloud"]).any()


def test_success_reaches_the_batch():
    env = build(2, False)
    env.reset(seed=[0, 1])
    # A drawer of which the simulator says that it is open.
    drawer = env.envs[0].unwrapped._sim
    drawer.data.qpos[-1] = -0.2
    _, _, terminated, _, info = env.step(STILL)
    assert terminated.tolist() == info["is_success"].tolist() == [True, False]
    # LeRobot reads this of every later step too; the member that succeeded must not be taken back.
    assert env.step(STILL)[4]["is_success"].tolist() == [True, False]
    env.close()


@pytest.mark.parametrize(("env_type", "task"), [("metaworld_pc", "drawer-open"), ("adroit", "door")])
def test_processes_give_what_one_process_gives(env_type, task):
    results = []
    for use_async in (False, True):
        config = make_env_config(env_type, task=task, **SMALL, episode_length=2)
        env = config.create_envs(2, use_async)[task][0]
        observations, _ = env.reset(seed=[3, 4])
        clouds = [observations["point_cloud"].copy()]
        for _ in range(3):
            still = np.zeros((2, *config.features["action"].shape), dtype=np.float32)
            clouds.append(env.step(still)[0]["point_cloud"].copy())
        frames = env.call("render")
        results.append((np.stack(clouds), np.stack(frames), env.call("_max_episode_steps")))
        env.close()
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
