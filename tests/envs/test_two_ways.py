"""This package's own tasks: either way succeeds, and the mean of the two ways does not."""

import numpy as np
import pytest

from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv
from lerobot_sdm.envs.metaworld.tasks import EXTRA_TASKS
from lerobot_sdm.experts import default_expert, make_expert

LENGTH = 120


def succeeds(task: str, ways: list[int]) -> bool:
    """Whether the mean of the actions of these ways succeeds."""
    env = MetaWorldPointCloudEnv(task, num_points=12, camera_size=32, renderer="raycast", episode_length=LENGTH)
    env.reset(seed=1)
    experts = [make_expert(default_expert("metaworld_pc", task), task) for _ in ways]
    for expert, way in zip(experts, ways, strict=True):
        expert.reset(env, 1, way)
    over = False
    while not over:
        *_, terminated, truncated, info = env.step(np.mean([expert.act(env) for expert in experts], axis=0))
        over = terminated or truncated
    env.close()
    return bool(info["is_success"])


@pytest.mark.parametrize("task", EXTRA_TASKS)
def test_only_the_mean_of_the_ways_fails(task):
    assert succeeds(task, [0])
    assert succeeds(task, [1])
    assert not succeeds(task, [0, 1])
