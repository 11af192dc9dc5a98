"""Rows of a table are paired by seed: LeRobot's evaluation must start episode i alike for every policy."""

import pytest
import torch
from lerobot.envs import close_envs, make_env, make_env_pre_post_processors
from lerobot.scripts.lerobot_eval import eval_policy

from lerobot_sdm.envs.metaworld.configuration import MetaWorldPointCloudEnvConfig
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

SEED, EPISODES = 100_000, 4


def first_observations(loaded, batch_size: int) -> tuple[list[int], torch.Tensor]:
    """Seeds and first states of the episodes of an evaluation, by LeRobot's own function."""
    config = MetaWorldPointCloudEnvConfig(task="reach", episode_length=4, num_points=256, camera_size=48)
    envs = make_env(config, n_envs=batch_size, use_async_envs=False)
    before, after = make_env_pre_post_processors(env_cfg=config, policy_cfg=loaded.config)
    info = eval_policy(
        envs["reach"][0],
        loaded.policy,
        before,
        after,
        loaded.preprocess,
        loaded.postprocess,
        n_episodes=EPISODES,
        return_episode_data=True,
        start_seed=SEED,
    )
    close_envs(envs)
    episodes = info["episodes"]
    starts = episodes["episode_index"].diff(prepend=torch.tensor([-1])) == 1
    clouds = episodes["observation.point_cloud"][starts].flatten(1)
    return [entry["seed"] for entry in info["per_episode"]], torch.cat(
        [episodes["observation.state"][starts], clouds], dim=1
    )


@pytest.mark.parametrize(("overrides", "batch_size"), [({"num_inference_steps": "1"}, 2), ({}, 1)])
def test_same_starts(tiny, overrides, batch_size):
    """Whatever the policy did before, and however many episodes run together."""
    reference = load_from_spec(PolicySpec("ten", str(tiny.teacher), {"num_inference_steps": "3"}))
    other = load_from_spec(PolicySpec("other", str(tiny.student if not overrides else tiny.teacher), overrides))
    seeds, states = first_observations(reference, 2)
    other_seeds, other_states = first_observations(other, batch_size)
    assert seeds == other_seeds == list(range(SEED, SEED + EPISODES))
    assert torch.equal(states[:, :9], other_states[:, :9])
    assert torch.allclose(states, other_states, atol=1e-4)
    # Not trivially equal: the starts of different seeds differ.
    assert len({tuple(row.tolist()) for row in states}) == EPISODES
