"""The expert's row: driven on given seeds, without clouds."""

import os

import gymnasium as gym

from lerobot_sdm.envs.metaworld.configuration import MetaWorldPointCloudEnvConfig
from lerobot_sdm.experts import make_expert
from lerobot_sdm.measure.expert import expert_episodes, expert_successes


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


def test_a_task_may_carry_metaworlds_suffix():
    options = {"episode_length": 40, "num_points": 8, "camera_size": 16}
    short, full = (MetaWorldPointCloudEnvConfig(task=task, **options) for task in ("reach", "reach-v3"))
    assert expert_successes(full, [100_000]) == expert_successes(short, [100_000])


def test_more_time_means_more_success():
    config = MetaWorldPointCloudEnvConfig(task="reach", episode_length=150)
    assert all(expert_successes(config, range(5)))


def test_what_an_episode_took_is_told():
    config = MetaWorldPointCloudEnvConfig(task="reach", episode_length=30, terminate_on_success=False)
    first, second = expert_episodes(config, [7, 8], "scripted")
    assert [first.seed, second.seed] == [7, 8]
    assert first.steps == second.steps == 30
    assert first.success == (first.success_steps > 0)
    # The first builds the scene; both simulate.
    assert 0 < second.cpu_seconds <= second.seconds * os.cpu_count()
