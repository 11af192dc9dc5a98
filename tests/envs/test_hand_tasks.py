"""How the tasks see, reward and judge, against Gymnasium-Robotics and against values worked out by hand."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest

from lerobot_sdm.envs.adroit.env import AdroitPointCloudEnv
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS, hand_task
from lerobot_sdm.envs.hand_task import SUCCESS_RULES, actions_to_controls
from lerobot_sdm.errors import InputError

SMALL = {"num_points": 1, "camera_size": 1, "render_size": 1, "renderer": "raycast"}


def point(x: float = 0, y: float = 0, z: float = 0) -> np.ndarray:
    return np.array([x, y, z], dtype=np.float64)


@pytest.fixture(scope="module", params=sorted(HAND_TASKS))
def pair(request):
    """Our environment and theirs."""
    import gymnasium_robotics

    gym.register_envs(gymnasium_robotics)
    ours = AdroitPointCloudEnv(request.param, **SMALL, action_repeat=1, success_rule="gymnasium_robotics")
    theirs = gym.make(f"AdroitHand{request.param.capitalize()}-v1").unwrapped
    yield ours, theirs
    ours.close()
    theirs.close()


def test_states_observations_and_goals_are_gymnasium_robotics(pair):
    ours, theirs = pair
    ours.reset(seed=3)
    expected, _ = theirs.reset(seed=3)
    np.testing.assert_allclose(ours.expert_state, expected, atol=1e-12)
    for action in np.random.default_rng(0).uniform(-1.2, 1.2, (60, *ours.action_space.shape)):
        info = ours.step(action)[4]
        expected, _, _, _, their_info = theirs.step(action)
        np.testing.assert_allclose(ours.expert_state, expected, atol=1e-11)
        assert info["goal_reached"] == bool(their_info["success"])
    np.testing.assert_array_equal(ours.data.qpos, theirs.data.qpos)


def test_rewards_are_theirs_but_for_the_sign_of_the_reach_term(pair):
    """In the installed version the door, the hammer and the ball reward a hand for staying away."""
    ours, theirs = pair
    ours.reset(seed=4)
    theirs.reset(seed=4)
    reached_for = {"door": "handle", "hammer": "hammer", "relocate": "ball"}.get(ours.task)
    for action in np.random.default_rng(1).uniform(-1, 1, (20, *ours.action_space.shape)):
        reward = ours.step(action)[1]
        their_reward = theirs.step(action)[1]
        data = ours.data
        measured = ours.hand_task.measure(ours.model, data.qpos, data.qvel, data.sensordata)
        reach = np.linalg.norm(measured["palm"] - measured[reached_for]) if reached_for else 0.0
        assert reward == pytest.approx(their_reward - 0.2 * reach, abs=1e-9)


def test_start_states_follow_from_first_observations(pair):
    ours, theirs = pair
    first, _ = theirs.reset(seed=8)
    ours.reset(seed=0)
    assert np.abs(ours.expert_state - first).max() > 1e-3
    state = ours.hand_task.start_of(ours.model, ours.data, first)
    ours.reset(seed=0, options={"state": state})
    np.testing.assert_allclose(ours.expert_state, first, atol=1e-9)


@pytest.mark.parametrize("name", sorted(HAND_TASKS))
def test_predicted_states_are_judged_as_simulated_ones(name):
    """What a planner reads from `mujoco.rollout` is what the environment says when it gets there."""
    from mujoco import rollout

    env = AdroitPointCloudEnv(name, **SMALL)
    env.reset(seed=1)
    model, data, task = env.model, env.data, env.hand_task
    plan = np.random.default_rng(2).uniform(-1, 1, (4, *env.action_space.shape))
    controls = np.repeat(actions_to_controls(model, plan), env.physics_steps, axis=0)
    start = np.empty(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS))
    mujoco.mj_getState(model, data, start, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    states, sensors = rollout.rollout(model, mujoco.MjData(model), start[None], controls[None])
    qpos, qvel = states[..., 1 : 1 + model.nq], states[..., 1 + model.nq : 1 + model.nq + model.nv]
    predicted = task.measure(model, qpos, qvel, sensors)
    assert task.reward(predicted).shape == (1, 4 * env.physics_steps)
    assert task.at_goal(predicted, True).shape == task.failed(predicted).shape == (1, 4 * env.physics_steps)
    for number, action in enumerate(plan):
        rewards = task.reward(predicted)[0, number * 10 + 4 : number * 10 + 10 : 5]
        assert env.step(action)[1] == pytest.approx(rewards.sum(), abs=1e-9)
    env.close()


def test_door_by_hand():
    door = hand_task("door")

    def measured(hinge):
        qpos = np.r_[np.zeros(28), hinge, 0.0]
        return {"qpos": qpos, "qvel": np.full(30, 2.0), "palm": point(), "handle": point(0.3, 0.4, 0)}

    # -0.1 * 0.5 - 0.1 * 1.57^2 - 1e-5 * 30 * 4
    assert door.reward(measured(0.0)) == pytest.approx(-0.05 - 0.24649 - 0.0012)
    # -0.1 * 0.5 - 0.1 * 0.17^2 - 0.0012 + 2 + 8 + 10
    assert door.reward(measured(1.4)) == pytest.approx(20 - 0.05 - 0.00289 - 0.0012)
    judged = [
        (bool(door.at_goal(measured(q), True)), bool(door.at_goal(measured(q), False))) for q in (1.3, 1.38, 1.41)
    ]
    assert judged == [(False, False), (False, True), (True, True)]


def test_hammer_by_hand():
    hammer = hand_task("hammer")

    def measured(left, height):
        return {
            "qpos": np.zeros(33),
            "qvel": np.r_[3.0, 4.0, np.zeros(31)],
            "palm": point(0, 0, height),
            "hammer": point(1, 0, height),
            "head": point(0, 0, height),
            "nail": point(0, 2, height),
            "goal": point(0, 2 + left, height),
        }

    # -0.1 * 1 - 2 - 10 * 0.05 - 0.01 * 5
    assert hammer.reward(measured(0.05, 0.0)) == pytest.approx(-2.65)
    assert hammer.reward(measured(0.015, 0.1)) == pytest.approx(-0.1 - 2 - 0.15 - 0.05 + 2 + 25)
    assert hammer.reward(measured(0.009, 0.1)) == pytest.approx(-0.1 - 2 - 0.09 - 0.05 + 2 + 100)
    assert [bool(hammer.at_goal(measured(left, 0), True)) for left in (0.011, 0.009)] == [False, True]


def test_pen_by_hand():
    pen = hand_task("pen")

    def measured(cosine, away, height=0.25):
        return {
            "qpos": np.zeros(30),
            "qvel": np.zeros(30),
            "pen": point(away, 0, height),
            "palm": point(0, 0, height),
            "top": point(0, 0, 0.13),
            "bottom": point(),
            "target_top": 0.13 * point(np.sqrt(1 - cosine**2), 0, cosine),
            "target_bottom": point(),
        }

    assert pen.reward(measured(0.5, 0.1)) == pytest.approx(0.4)
    assert pen.reward(measured(0.92, 0.05)) == pytest.approx(10.87)
    assert pen.reward(measured(0.96, 0.05)) == pytest.approx(60.91)
    assert pen.reward(measured(0.5, 0.0, height=0.07)) == pytest.approx(-4.5)
    # DP3 asks for the direction alone.
    judged = [
        (bool(pen.at_goal(measured(0.96, d), True)), bool(pen.at_goal(measured(0.96, d), False))) for d in (0, 0.1)
    ]
    assert judged == [(True, True), (True, False)]
    assert [bool(pen.failed(measured(1, 0, height))) for height in (0.07, 0.08)] == [True, False]


def test_relocate_by_hand():
    relocate = hand_task("relocate")

    def measured(away, height):
        return {"palm": point(0, 1, height), "ball": point(0, 0, height), "target": point(away, 0, height)}

    assert relocate.reward(measured(0.2, 0.03)) == pytest.approx(-0.1)
    # -0.1 + 1 - 0.5 sqrt(1.04) - 0.5 * 0.2
    assert relocate.reward(measured(0.2, 0.05)) == pytest.approx(0.8 - 0.5 * np.sqrt(1.04))
    assert relocate.reward(measured(0.04, 0.05)) == pytest.approx(30.9 - 0.5 * np.sqrt(1.0016) - 0.02)
    assert [bool(relocate.at_goal(measured(away, 0.2), False)) for away in (0.11, 0.09)] == [False, True]


@pytest.mark.parametrize("name", sorted(HAND_TASKS))
def test_the_facts_fit_the_scene(name):
    task = hand_task(name)
    model = task.make_model()
    assert model.nu == task.action_size
    assert len(np.zeros(model.nq)[task.agent_pos]) == task.agent_pos_size == 24
    assert sorted(model.camera(i).name for i in range(model.ncam)) == sorted(task.cameras)
    assert set(task.crops) == {"legacy", "world"}
    first = model.jnt_qposadr[model.joint("WRJ1").id]
    assert range(model.nq)[task.agent_pos] == range(first, first + 24)
    # -1 and 1 are the ends of each actuator's range, whatever lies beyond is clipped.
    ends = actions_to_controls(model, np.array([[-1.0], [1.0], [3.0]]) * np.ones(model.nu))
    np.testing.assert_allclose(ends[:2].T, model.actuator_ctrlrange)
    np.testing.assert_array_equal(ends[1], ends[2])


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(InputError, match=r"'hamer' is not known.*hammer"):
        hand_task("hamer")
    assert set(SUCCESS_RULES) == {"dp3", "dp3_ever", "dapg", "gymnasium_robotics"}
