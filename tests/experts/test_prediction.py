"""Predictions of sampling MPC: what they foresee is what happens, in every family of environments."""

import mujoco
import numpy as np
import pytest

from lerobot_sdm.envs.adroit.env import AdroitPointCloudEnv
from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts.mpc_costs import TASK_COSTS
from lerobot_sdm.experts.prediction import prediction_class

BLIND = {"num_points": 1, "camera_size": 1, "renderer": "raycast"}
ENVS = {"adroit": AdroitPointCloudEnv, "metaworld": MetaWorldPointCloudEnv}


def build(name: str, seed: int = 3, threads: int = 1):
    """The environment of an entry in the table of costs, reset, and its prediction."""
    family, _, task = name.partition("/")
    env = ENVS[family](task, **BLIND)
    env.reset(seed=seed)
    return env, prediction_class(env)(env, TASK_COSTS[name].watched, threads)


def plans_for(env, count: int, steps: int = 5) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, steps, *env.action_space.shape))


@pytest.mark.parametrize("name", TASK_COSTS)
def test_what_is_foreseen_happens(name):
    env, prediction = build(name)
    for action in plans_for(env, 1)[0]:
        env.step(action)
    # In the middle of an episode, after a reset to another scene.
    env.reset(seed=8)
    prediction.follow()
    for action in plans_for(env, 1)[0]:
        env.step(action)
    (plan,) = plans = plans_for(env, 1)
    foreseen = prediction(plans)
    points = TASK_COSTS[name].watched
    assert set(foreseen) == {"qpos", "qvel", *points}
    cost = TASK_COSTS[name]
    assert cost(foreseen).shape == (1,)
    assert set(cost.terms(foreseen)) == set(cost.weights)
    for step, action in enumerate(plan):
        env.step(action)
        _, data = prediction.actual
        np.testing.assert_allclose(foreseen["qpos"][0, step], data.qpos, atol=1e-9)
        np.testing.assert_allclose(foreseen["qvel"][0, step], data.qvel, atol=1e-7)
        for point, (kind, thing) in points.items():
            there = getattr(data, kind)(thing).xpos
            # Positions are those of 2 ms earlier.
            np.testing.assert_allclose(foreseen[point][0, step], there, atol=0.02, err_msg=point)
    env.close()


def test_positions_are_the_points_of_the_state_before():
    env, prediction = build("adroit/door")
    model, data = env.model, mujoco.MjData(env.model)
    foreseen = prediction(plans_for(env, 1))
    env.step(plans_for(env, 1)[0, 0])
    data.qpos[:] = env.data.qpos - env.data.qvel * model.opt.timestep
    mujoco.mj_forward(model, data)
    # A semi-implicit step moves positions by the velocities after it.
    np.testing.assert_allclose(foreseen["handle"][0, 0], data.site("S_handle").xpos, atol=1e-9)
    np.testing.assert_allclose(foreseen["palm"][0, 0], data.site("S_grasp").xpos, atol=1e-9)
    env.close()


@pytest.mark.parametrize("name", ["adroit/pen", "metaworld/drawer-open"])
def test_futures_do_not_depend_on_each_other_or_on_threads(name):
    env, alone = build(name)
    plans = plans_for(env, 5)
    together = prediction_class(env)(env, TASK_COSTS[name].watched, threads=3)(plans)
    for number in range(5):
        single = alone(plans[[number]])
        for key, values in together.items():
            np.testing.assert_array_equal(values[[number]], single[key])
    env.close()


def test_what_cannot_be_predicted_is_named():
    with pytest.raises(InputError, match="object"):
        prediction_class(object())
