"""The simulated robot, by itself and under `lerobot-rollout`."""

import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.robots.utils import make_robot_from_config
from lerobot.utils.errors import DeviceAlreadyConnectedError, DeviceNotConnectedError

import lerobot_policy_sdm  # noqa: F401 - registers the robot
from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.robots.config_simulated import SimulatedRobotConfig
from lerobot_sdm.robots.simulated import SimulatedRobot

SAVED = Path(__file__).parents[1] / "saved"
ENV = "metaworld_pc,task=detour,num_points=12,camera_size=32,episode_length=15,renderer=raycast"
SEED = 7


def environment() -> MetaWorldPointCloudEnv:
    return MetaWorldPointCloudEnv(task="detour", num_points=12, camera_size=32, episode_length=15, renderer="raycast")


@pytest.fixture
def robot():
    made = make_robot_from_config(SimulatedRobotConfig(env=ENV, seed=SEED))
    made.connect()
    yield made
    made.disconnect()


def test_lerobot_makes_it_by_its_name(robot):
    assert isinstance(robot, SimulatedRobot)
    assert robot.is_connected
    assert robot.config.type == robot.robot_type == "simulated"


def test_it_observes_and_acts_as_its_environment(robot):
    env = environment()
    expected, _ = env.reset(seed=SEED)
    random = np.random.default_rng(0)
    for _ in range(15):
        observed = robot.get_observation()
        assert set(observed) == set(robot.observation_features)
        state = [observed[key] for key in robot.observation_features if key != "point_cloud"]
        np.testing.assert_array_equal(np.float32(state), expected["agent_pos"])
        np.testing.assert_array_equal(observed["point_cloud"][..., 0], expected["point_cloud"])
        assert observed["point_cloud"].shape == robot.observation_features["point_cloud"]
        action = random.uniform(-1.5, 1.5, 4)
        sent = robot.send_action(dict(zip(robot.action_features, action, strict=True)))
        np.testing.assert_allclose(list(sent.values()), action.clip(-1, 1), atol=1e-7)
        expected, *_ = env.step(action.clip(-1, 1).astype(np.float32))
    # The episode is over, and the next seed's has begun.
    assert len(robot.outcomes) == 1
    np.testing.assert_array_equal(
        robot.get_observation()["point_cloud"][..., 0], env.reset(seed=SEED + 1)[0]["point_cloud"]
    )
    env.close()


def test_an_observation_belongs_to_whoever_asked(robot):
    robot.get_observation()["point_cloud"][:] = 9
    assert not (robot.get_observation()["point_cloud"] == 9).any()


@pytest.mark.parametrize(
    ("change", "offender"),
    [
        (lambda action: action.pop("action_2.vel"), r"^action: has .*needs 'action_0\.vel'"),
        (lambda action: action.update({"gripper.pos": 1.0}), r"'gripper\.pos'"),
        (lambda action: action.update({"action_0.vel": float("nan")}), r"nan.* is not finite\. Nothing was executed"),
        (lambda action: action.clear(), r"^action: has nothing"),
    ],
)
def test_bad_actions_are_refused_and_nothing_moves(robot, change, offender):
    before = robot.get_observation()
    action = dict.fromkeys(robot.action_features, 1.0)
    change(action)
    with pytest.raises(InputError, match=offender):
        robot.send_action(action)
    np.testing.assert_array_equal(robot.get_observation()["point_cloud"], before["point_cloud"])


def test_it_must_be_connected_once():
    robot = SimulatedRobot(SimulatedRobotConfig(env=ENV))
    for act in (robot.get_observation, robot.disconnect, lambda: robot.send_action({})):
        with pytest.raises((DeviceNotConnectedError, InputError)):
            act()
    robot.connect()
    with pytest.raises(DeviceAlreadyConnectedError):
        robot.connect()
    robot.disconnect()
    assert not robot.is_connected


@pytest.mark.parametrize(
    ("given", "offender"),
    [
        ({"env": "metaworld_pc,task=detuor"}, "detour"),
        ({"env": "metaworld_pc,tsak=detour"}, r"--robot\.env metaworld_pc: 'tsak' is not known"),
        ({"env": "metaworld_px"}, r"--robot\.env: 'metaworld_px' is not known"),
        ({"env": "metaworld_pc,task=easy"}, r"--robot\.env=.*: names \d+ tasks\. Give a single one"),
        (
            {"env": "metaworld_pc,task=detour,n_action_steps=8"},
            r"--robot\.env=\.\.\.,n_action_steps=8: leaves out clouds.*Drop the option",
        ),
        ({"env": "pusht"}, r"--robot\.env=pusht: has no point clouds"),
        ({"env": "metaworld_pc,detour"}, r"--robot\.env=metaworld_pc,detour: 'detour' is not FIELD=VALUE"),
        ({"seed": -1}, r"--robot\.seed=-1: must be at least 0"),
        ({"num_episodes": -1}, r"--robot\.num_episodes=-1: must be at least 0"),
    ],
)
def test_bad_settings_are_refused_by_name(given, offender):
    with pytest.raises(InputError, match=offender):
        SimulatedRobotConfig(**given)


def rollout(monkeypatch, *arguments: str) -> None:
    """Run `lerobot-rollout` in this process, and undo its signal handlers."""
    from lerobot.scripts.lerobot_rollout import main
    from lerobot.utils.process import ProcessSignalHandler

    before = {name: signal.getsignal(getattr(signal, name)) for name in ProcessSignalHandler._SUPPORTED_SIGNALS}
    monkeypatch.setattr(sys, "argv", ["lerobot-rollout", "--fps=1000", "--duration=60", "--device=cpu", *arguments])
    try:
        main()
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


@pytest.fixture
def sent(monkeypatch) -> list[np.ndarray]:
    """Actions (4,) that simulated robots execute in this test, in order. The policy's noise is that of seed 3."""
    executed = []
    send, connect = SimulatedRobot.send_action, SimulatedRobot.connect

    def seed_and_connect(self, calibrate=True):
        torch.manual_seed(3)  # LeRobot's command seeds nothing, and connects the robot after loading the policy.
        connect(self, calibrate)

    def spy(self, action):
        done = send(self, action)
        executed.append(np.array(list(done.values()), np.float32))
        return done

    monkeypatch.setattr(SimulatedRobot, "send_action", spy)
    monkeypatch.setattr(SimulatedRobot, "connect", seed_and_connect)
    return executed


@pytest.mark.parametrize("kind", ["sdm", "dp3"])
def test_rollout_acts_as_the_policy_in_the_environment(monkeypatch, sent, kind):
    """`lerobot-rollout` sends the actions that `select_action` gives for the environment's own observations."""
    rollout(
        monkeypatch,
        f"--policy.path={SAVED / kind}",
        "--robot.type=simulated",
        f"--robot.env={ENV}",
        f"--robot.seed={SEED}",
        "--robot.num_episodes=1",
    )
    assert len(sent) == 15
    expected = actions_of_an_episode(SAVED / kind)
    np.testing.assert_allclose(np.stack(sent), expected.clip(-1, 1), atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0  # Not one constant action.


def actions_of_an_episode(policy: Path) -> np.ndarray:
    """Actions (T, 4) of a policy in the environment, without LeRobot's loops."""
    loaded, env = load_from_spec(PolicySpec("x", str(policy))), environment()
    observation, _ = env.reset(seed=SEED)
    torch.manual_seed(3)
    actions, over = [], False
    while not over:
        batch = {f"observation.{key}": torch.from_numpy(value)[None] for key, value in observation.items()}
        batch["observation.state"] = batch.pop("observation.agent_pos")
        actions.append(loaded.postprocess(loaded.policy.select_action(loaded.preprocess(batch)))[0].numpy())
        observation, _, terminated, truncated, _ = env.step(actions[-1].clip(-1, 1))
        over = terminated or truncated
    env.close()
    return np.stack(actions)


def test_real_time_chunking_is_refused_by_name(monkeypatch, sent):
    with pytest.raises(ValueError, match=r"RTC inference is not supported by policy type 'sdm'.*--inference.type=sync"):
        rollout(
            monkeypatch, f"--policy.path={SAVED / 'sdm'}", "--robot.type=simulated", f"--robot.env={ENV}",
            "--inference.type=rtc",
        )  # fmt: skip
    assert sent == []
