"""The robot that does not wait: periods counted by hand, and LeRobot's own evaluation where the deadline is kept."""

import json
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs import make_env_pre_post_processors
from lerobot.policies import make_policy_config, make_pre_post_processors
from lerobot.policies.factory import get_policy_class
from lerobot.scripts.lerobot_eval import rollout
from lerobot_commands import REPO_ID, make_small_dataset
from typer.testing import CliRunner

import lerobot_policy_sdm  # noqa: F401 - registers the types
from lerobot_sdm.cli.main import app
from lerobot_sdm.errors import InputError
from lerobot_sdm.export.runtime import Policy
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples" / "deployment"))

import deploy  # noqa: E402
from control_loop import missed_periods, run_episode  # noqa: E402
from measures import episode_record, summarize  # noqa: E402
from simulated_robot import Period, SimulatedRobot, keep_set_point, repeat  # noqa: E402

ENV = "metaworld_pc,task=detour,num_points=16,camera_size=24,episode_length=12,renderer=raycast"
SEED = 100_000
PERIOD = 12_500_000  # 80 Hz
CHUNK = 3  # actions that the policies here execute of a plan


class Diary(gym.Env):
    """Observations are numbered from 0, an episode has six steps, and every executed action is written down."""

    observation_space = spaces.Dict({"step": spaces.Discrete(7)})
    action_space = spaces.Box(-1, 1, (4,), np.float32)

    def reset(self, *, seed=None, options=None):
        self.executed = []
        return {"step": 0}, {}

    def step(self, action):
        self.executed.append(action.tolist())
        step = len(self.executed)
        return {"step": step}, 0.0, False, step == 6, {"is_success": step == 2}


def started(latency: int = 0, hold=keep_set_point, period: int = 10) -> SimulatedRobot:
    robot = SimulatedRobot(Diary(), period, latency, hold)
    robot.reset(seed=0)
    return robot


def action(number: float) -> np.ndarray:
    return np.full(4, number, np.float32)


def test_missed_periods():
    for decision, missed in {0: 0, 1: 0, 100: 0, 101: 1, 200: 1, 201: 2, 1000: 9}.items():
        assert missed_periods(decision, 100) == missed


def test_commands_in_time_are_executed_in_their_period():
    robot = started()
    for period in range(6):
        assert robot.observe() == {"step": period}
        robot.send(action(period), at=10 * period + 10)  # At the last moment.
        robot.run_until(10 * period + 10)
    assert robot.periods == [Period(number, held=False) for number in range(6)]
    assert robot.over
    assert robot.success  # At step 2, and not at the end.
    robot.run_until(1000)
    assert robot.observe() == {"step": 6}  # Nothing comes behind the last one.


def test_late_commands_find_the_robot_holding():
    robot = started()
    robot.send(action(1), at=21)  # Too late for the first two periods.
    robot.run_until(40)
    assert robot.periods == [Period(-1, True), Period(-1, True), Period(0, False), Period(0, True)]
    still, goes_on = [0, 0, 0, 0], [0, 0, 0, 1]  # No displacement; the gripper's effort stays.
    assert robot._env.executed == [still, still, [1, 1, 1, 1], goes_on]


def test_a_velocity_robot_goes_on():
    robot = started(hold=repeat)
    robot.send(action(1), at=5)
    robot.run_until(20)
    assert robot._env.executed == [[1, 1, 1, 1], [1, 1, 1, 1]]


def test_latency_delays_both_ways():
    robot = started(latency=15)
    robot.send(action(1), at=4)  # Arrives at 19, in the second period.
    robot.run_until(30)
    assert [period.held for period in robot.periods] == [True, False, True]
    assert robot.observe() == {"step": 1}  # Of 10, which arrived at 25; that of 20 is under way.


def test_of_two_commands_in_a_period_the_last_counts():
    robot = started()
    robot.send(action(1), at=3)
    robot.send(action(2), at=8)
    robot.run_until(10)
    assert robot.periods == [Period(1, False)]
    assert robot.overwritten == 1


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """An untrained teacher and the student that is its copy, with processors."""
    folder = tmp_path_factory.mktemp("policies")
    sizes = {"observation.state": (9,), "observation.point_cloud": (16, 3), "action": (4,)}
    stats = {key: {"min": -np.ones(shape[-1]), "max": np.ones(shape[-1])} for key, shape in sizes.items()}
    small = {"down_dims": (8, 16), "blocks_per_level": 1, "horizon": 4, "n_action_steps": CHUNK}
    for kind, settings in {"dp3": small, "sdm": {"teacher_path": str(folder / "dp3")}}.items():
        torch.manual_seed(0)
        config = make_policy_config(kind, device="cpu", push_to_hub=False, **settings)
        config.input_features = {
            key: PolicyFeature(FeatureType.STATE, shape) for key, shape in sizes.items() if key != "action"
        }
        config.output_features = {"action": PolicyFeature(FeatureType.ACTION, sizes["action"])}
        (folder / kind).mkdir()
        get_policy_class(kind)(config).save_pretrained(folder / kind)
        for pipeline in make_pre_post_processors(config, dataset_stats=stats):
            pipeline.save_pretrained(folder / kind)
    return {kind: folder / kind for kind in ("dp3", "sdm")}


class Recorder(gym.Wrapper):
    """Keeps the actions that an environment was given."""

    def step(self, action):
        self.actions.append(np.array(action))
        return super().step(action)


def deployed(checkpoint: Path, decision_ms: float) -> tuple[SimulatedRobot, list, deploy.Deployment]:
    """One episode with given decision times, and what the robot was told."""
    policy = PolicySpec("policy", str(checkpoint))
    deployment = deploy.Deployment(ENV, (policy,), decision_ms=(decision_ms,), episodes=1, seed=SEED)
    robot = deploy.make_robot(deployment)
    robot._env = Recorder(robot._env)
    robot._env.actions = []
    controller = deploy.make_controller(deployment, load_from_spec(policy), slowdown=1)
    return robot, run_episode(robot, controller, SEED), deployment


@pytest.fixture(scope="module")
def exported(checkpoints, tmp_path_factory) -> Path:
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported")
    dataset = make_small_dataset(folder / "data", points=16)
    arguments = ["export", str(checkpoints["sdm"]), f"--dataset.repo_id={REPO_ID}", f"--dataset.root={dataset}"]
    done = CliRunner().invoke(app, [*arguments, "--observations=4", f"--output={folder / 'policy'}"])
    assert done.exit_code == 0, done.output
    return folder / "policy"


def test_an_exported_policy_keeps_time_like_its_checkpoint(exported):
    policy = PolicySpec("exported", str(exported))
    deployment = deploy.Deployment(ENV, (policy,), decision_ms=(0.0,), episodes=1, seed=SEED)
    robot = deploy.make_robot(deployment)
    robot._env = Recorder(robot._env)
    robot._env.actions = []
    loaded = deploy.load(deployment, policy)
    ticks = run_episode(robot, deploy.make_controller(deployment, loaded, slowdown=1), SEED)
    assert [tick.planned for tick in ticks] == [step % CHUNK == 0 for step in range(12)]

    runtime, env, expected = Policy(exported), deploy.make_robot(deployment)._env, []
    runtime.reset(SEED)
    observation, _ = env.reset(seed=SEED)
    for _ in range(12):
        seen = {"observation.state": observation["agent_pos"], "observation.point_cloud": observation["point_cloud"]}
        expected.append(runtime.act(seen))
        observation, *_ = env.step(expected[-1])
    np.testing.assert_allclose(np.stack(robot._env.actions), np.stack(expected), atol=1e-6)


def test_an_exported_policy_that_does_not_fit_is_refused(exported):
    deployment = deploy.Deployment(ENV, (PolicySpec("exported", str(exported)),))
    with pytest.raises(InputError, match="no options"):
        deploy.load(deployment, PolicySpec("exported", str(exported), {"n_action_steps": "2"}))


@pytest.mark.parametrize("decision_ms", [0.0, 12.5])
def test_in_time_it_is_lerobots_evaluation(checkpoints, decision_ms):
    robot, ticks, deployment = deployed(checkpoints["dp3"], decision_ms)
    assert [tick.planned for tick in ticks] == [step % CHUNK == 0 for step in range(12)]
    assert not any(period.held for period in robot.periods)

    loaded = load_from_spec(PolicySpec("policy", str(checkpoints["dp3"])))
    ((environment,),) = (tasks.values() for tasks in deployment.config.create_envs(1).values())
    processors = make_env_pre_post_processors(env_cfg=deployment.config, policy_cfg=loaded.config)
    torch.manual_seed(SEED)
    plain = rollout(environment, loaded.policy, *processors, loaded.preprocess, loaded.postprocess, seeds=[SEED])
    environment.close()
    np.testing.assert_array_equal(np.stack(robot._env.actions), plain["action"][0].numpy())


def test_too_late_by_two_periods(checkpoints):
    """30 ms are three periods: of each chunk two periods are held, then three actions are executed."""
    robot, ticks, _ = deployed(checkpoints["sdm"], decision_ms=30)
    held = [True, True, False, False, False]
    assert [period.held for period in robot.periods] == (3 * held)[:12]
    assert [period.command for period in robot.periods] == [-1, -1, 0, 1, 2, 2, 2, 3, 4, 5, 5, 5]
    assert [tick.missed for tick in ticks] == [2, 0, 0, 2, 0, 0, 2]
    assert [tick.start // PERIOD for tick in ticks] == [0, 3, 4, 5, 8, 9, 10]
    for before, after in zip(robot._env.actions[4:6], robot._env.actions[5:7], strict=True):
        np.testing.assert_array_equal(after, [0, 0, 0, before[3]])

    summary = summarize([episode_record(SEED, robot.summary(), ticks, PERIOD)])
    assert (summary["periods"], summary["periods_held"], summary["overwritten"]) == (12, 6, 0)
    assert (summary["ticks"], summary["ticks_missed"], summary["planning_missed"]) == (7, 3, 3)
    assert summary["planning"] == {"count": 3, "p50_ms": 30.0, "p95_ms": 30.0, "max_ms": 30.0}
    # Commands leave at 30, 37.5, 50, 92.5, 100, 112.5, 155 ms: 7.5, 12.5, 42.5, 7.5, 12.5, 42.5 apart.
    assert summary["jitter_ms"] == pytest.approx(np.sqrt((2 * 5**2 + 2 * 30**2) / 6))


def test_decisions_are_really_measured(checkpoints):
    policy = PolicySpec("policy", str(checkpoints["dp3"]))
    hundred = PolicySpec("policy", str(checkpoints["dp3"]), {"num_inference_steps": "100"})
    times = []
    for spec in (policy, hundred):
        deployment = deploy.Deployment(ENV, (spec,), episodes=1, clock="cpu")
        robot = deploy.make_robot(deployment)
        controller = deploy.make_controller(deployment, load_from_spec(spec), slowdown=1)
        robot.reset(SEED)
        controller.warm_up(robot.observe())
        # Not as an episode: on a slow machine a hundred steps take longer than a short one lasts.
        decisions = [controller.decide(robot.observe())[1:] for _ in range(24)]
        planning = [took for took, planned in decisions if planned]
        times.append(np.median(planning))
        assert max(took for took, planned in decisions if not planned) < min(planning)
    assert times[1] > 2 * times[0] > 0
    slow = deploy.make_controller(deployment, load_from_spec(policy), slowdown=1000)
    assert slow.decide(robot.observe())[1] > 100 * times[0]


def test_command(checkpoints, tmp_path, capsys):
    output = tmp_path / "deployment"
    arguments = [f"--env={ENV}", f"--policy={checkpoints['dp3']},label=dp3", f"--policy={checkpoints['sdm']},label=sdm"]
    arguments += [f"--output={output}", "--episodes=2", "--decision-ms", "30", "5"]
    deploy.main(arguments)
    results = json.loads((output / "results.json").read_text())
    assert (results["period_ms"], results["measured"]) == (12.5, False)
    (point,) = results["points"]
    assert [row["label"] for row in point["rows"]] == ["dp3", "sdm"]
    for row in point["rows"]:
        # Plans take 30 ms and 5 ms in turn. First episode: 2 periods held, 3 + 3 actions, 2 held, 2 actions.
        # Second one: 3 actions, 2 held, 3 + 3 actions, 1 held, and time is up.
        assert (row["periods"], row["periods_held"]) == (24, 7)
        assert row["successes"] == [False, False]
        assert len(results["timelines"][row["label"]]) == 8
    assert all((output / name).stat().st_size > 10_000 for name in ("timeline.png", "sweep.png"))

    kept = {path: path.stat().st_mtime_ns for path in (output / "points").iterdir()}
    assert len(kept) == 2
    deploy.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    with pytest.raises(SystemExit):
        deploy.main([*arguments, "--fps=40"])
    assert "other settings" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        deploy.main([f"--env={ENV}", "--policy=nowhere", f"--output={tmp_path / 'new'}"])
    assert "'nowhere' is neither a folder nor a Hub repository" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"env": "metaworld_pc,task=easy"}, "--env=metaworld_pc,task=easy: give a single task"),
        ({"env": "adroit,task=door"}, "--env=adroit,task=door: give a single task of MetaWorld"),
        ({"env": "metaworld_pc,taks=detour"}, "taks"),
        ({"interface": "torque"}, "--interface: 'torque' is not known"),
        ({"clock": "sun"}, "--clock: 'sun' is not known"),
        ({"clock": "cpu", "threads": 2}, "--clock=cpu: is the time of one thread"),
        ({"fps": 0.0}, "--fps=0"),
        ({"slowdown": (1.0, 0.0)}, "--slowdown"),
        ({"slowdown": (2.0, 2.0)}, "--slowdown"),
        ({"decision_ms": (-1.0,)}, "--decision-ms"),
        ({"decision_ms": (1.0,), "slowdown": (2.0,)}, "--slowdown: is a factor on measured times"),
        ({"robot_latency_ms": -1.0}, "--robot-latency-ms=-1"),
        ({"episodes": 0}, "episodes=0"),
    ],
)
def test_refusals(fields, message):
    with pytest.raises(InputError, match=message):
        deploy.Deployment(**{"env": ENV, "policies": (PolicySpec("a", "a"),)} | fields)
