"""The expert's row: driven on given seeds, without clouds."""

import gymnasium as gym

from lerobot_sdm.envs.configuration_metaworld import MetaWorldPointCloudEnvConfig
from lerobot_sdm.evaluation.expert import expert_successes
from lerobot_sdm.experts import make_expert


def test_outcomes_are_those_of_the_full_environment():
    """Leaving the clouds out changes nothing; 40 steps are enough for some starts of reach and not for others."""
    config = MetaWorldPointCloudEnvConfig(task="reach", episode_length=40, num_points=8, camera_size=16)
    seeds = range(100_000, 100_008)
    outcomes = expert_successes(config, seeds)

    env = gym.make(config.gym_id, disable_env_checker=True, **config.gym_kwargs)
    expected = []
    for seed in seeds:
        env.reset(seed=seed)
        expert = make_expert("scripted", "reach")
        expert.reset(env, seed)
        info, over = {"is_success": False}, False
        while not over:
            *_, terminated, truncated, info = env.step(expert.act(env))
            over = terminated or truncated
        expected.append(info["is_success"])  # Success ends the episode.
    env.close()
    assert outcomes == expected
    assert len(set(outcomes)) == 2


def test_more_time_means_more_success():
    config = MetaWorldPointCloudEnvConfig(task="reach", episode_length=150)
    assert all(expert_successes(config, range(5)))
