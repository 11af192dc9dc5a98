"""Push-T with a dense reward: the same episodes as LeRobot's, and a reward that can be worked out by hand."""

import gymnasium as gym
import numpy as np
import pytest
from lerobot.envs import close_envs, make_env
from lerobot.envs.factory import make_env_config

import lerobot_policy_sdm  # noqa: F401 - registers the environment type

pytest.importorskip("gym_pusht", reason="needs the extra `pusht`")

from lerobot_sdm.envs.pusht.dense import block_keypoints, closeness

GOAL = np.array([256, 256, np.pi / 4])


def test_closeness_by_hand():
    assert closeness(GOAL, GOAL) == 1
    # All keypoints moved by (3, 4) * 20, which is 100 pixels of the 400.
    assert closeness(GOAL + np.array([60, 80, 0]), GOAL) == pytest.approx(0.75)
    assert closeness(np.array([1000, 256, np.pi / 4]), GOAL) == 0
    # Turned half around its origin each keypoint moves by twice its distance from there.
    distances = [0, 60, 60, *[np.hypot(60, 30)] * 2, *[np.hypot(15, 30)] * 2, *[np.hypot(15, 120)] * 2]
    assert closeness(GOAL + np.array([0, 0, np.pi]), GOAL) == pytest.approx(1 - 2 * np.mean(distances) / 400)


def test_keypoints_are_the_environments():
    """gym-pusht's eight corners, in another order, and the block's origin."""
    env = gym.make("gym_pusht/PushT-v0", obs_type="environment_state_agent_pos", disable_env_checker=True)
    observation, info = env.reset(seed=5)
    ours, theirs = block_keypoints(info["block_pose"]), observation["environment_state"].reshape(8, 2)
    np.testing.assert_allclose(ours[0], info["block_pose"][:2])
    assert sorted(map(tuple, ours[[1, 2, 3, 4, 5, 6, 7, 8]].round(6))) == sorted(
        {tuple(point) for point in theirs.round(6)}
    )


def test_episodes_are_lerobots_but_for_the_reward():
    options = {"obs_type": "environment_state_agent_pos", "episode_length": 6}
    found = {}
    for kind in ("pusht", "pusht_dense"):
        environments = make_env(make_env_config(kind, **options), n_envs=2)
        ((environment,),) = (tasks.values() for tasks in environments.values())
        observation, _ = environment.reset(seed=[3, 4])
        steps = [environment.step(observation["agent_pos"].astype(np.float32) + 20) for _ in range(6)]
        close_envs(environments)
        found[kind] = steps
    for plain, dense in zip(*found.values(), strict=True):
        for key in plain[0]:
            np.testing.assert_array_equal(plain[0][key], dense[0][key])
        np.testing.assert_array_equal(plain[3], dense[3])
        if not dense[3].any():  # A finished episode's facts are those of the next one.
            np.testing.assert_allclose(np.clip(dense[4]["coverage"] / 0.95, 0, 1), plain[1])
    poses = found["pusht_dense"][0][4]["block_pose"]
    np.testing.assert_allclose(found["pusht_dense"][0][1], [closeness(pose, GOAL) for pose in poses])
    assert found["pusht_dense"][-1][3].all()  # the episode's length is the configuration's
