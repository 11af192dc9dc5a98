"""The Adroit environments, walked through the registry: seeding, success, time, clouds, and the DP3 recordings."""

from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.spatial import cKDTree

import lerobot_sdm  # noqa: F401 - registers the environments
from lerobot_sdm.clouds.geometry import focal_length, inside_box
from lerobot_sdm.envs.adroit.env import AdroitPointCloudEnv
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS
from lerobot_sdm.envs.depth_camera import RayDepthCamera, graphics_failure

LEGACY_STORE = Path(__file__).parents[2] / "../shared/data/zarr/adroit_hammer_expert.zarr"
SMALL = {"num_points": 8, "camera_size": 16, "render_size": 16}
needs_graphics = pytest.mark.skipif(graphics_failure() is not None, reason=str(graphics_failure()))
needs_store = pytest.mark.skipif(not LEGACY_STORE.exists(), reason="needs the shared DP3-format demonstrations")


@pytest.fixture
def make():
    """Build environments that are closed when the test ends."""
    built = []

    def build(*args, **kwargs):
        built.append(AdroitPointCloudEnv(*args, **kwargs))
        return built[-1]

    yield build
    for env in built:
        env.close()


def simulator_state(env) -> np.ndarray:
    """Everything that decides how an episode goes on."""
    return np.concatenate([values.ravel() for values in env.env_state.values()])


def actions(env, count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, *env.action_space.shape))


def without_padding(cloud: np.ndarray) -> np.ndarray:
    return cloud[(cloud != 0).any(axis=1)]


@pytest.mark.parametrize("task", HAND_TASKS)
def test_every_registered_task(task):
    env = gym.make(f"lerobot_sdm/Adroit-{task}-v0", **SMALL)
    check_env(env.unwrapped, skip_render_check=True)
    bare = env.unwrapped
    assert bare.task == task
    assert len(bare.task_description) > 10

    observation, info = env.reset(seed=5)
    assert info == {"is_success": False, "goal_reached": False, "success_steps": 0}
    start = simulator_state(bare)
    assert bare.expert_state.shape == (bare.hand_task.full_observation_size,)
    # A cloud that is not empty, and the resting hand.
    assert (observation["point_cloud"] != 0).any()
    np.testing.assert_array_equal(observation["agent_pos"], np.zeros(24, np.float32))
    for action in actions(env, 3):
        observation, reward, _, _, info = env.step(action)
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        assert set(info) == {"is_success", "goal_reached", "success_steps"}
    assert env.render().shape == (16, 16, 3)
    env.reset()
    assert not np.array_equal(simulator_state(bare), start)
    env.reset(seed=5)
    np.testing.assert_array_equal(simulator_state(bare), start)
    env.close()


def test_a_seed_gives_one_episode_after_any_history(make):
    fresh, used = make("pen", **SMALL), make("pen", **SMALL)
    used.reset(seed=1)
    for action in actions(used, 20):
        used.step(action)
    fresh.reset(seed=7)
    used.reset(seed=7)
    for action in actions(used, 15):
        ours, theirs = fresh.step(action), used.step(action)
        np.testing.assert_array_equal(ours[0]["point_cloud"], theirs[0]["point_cloud"])
        assert ours[1:] == theirs[1:]
    np.testing.assert_array_equal(simulator_state(fresh), simulator_state(used))


def test_states_can_be_carried_over(make):
    one, other = make("relocate", **SMALL), make("relocate", **SMALL)
    one.reset(seed=3)
    other.reset(seed=4)
    other.reset(seed=4, options={"state": one.env_state})
    np.testing.assert_array_equal(one.expert_state, other.expert_state)
    for action in actions(one, 5):
        one.step(action)
        other.step(action)
    np.testing.assert_array_equal(one.expert_state, other.expert_state)


@pytest.mark.parametrize(("task", "steps"), [("hammer", 100), ("door", 100), ("pen", 50), ("relocate", 100)])
def test_episodes_are_as_long_as_the_benchmarks(make, task, steps):
    env = make(task, **SMALL)
    assert env._max_episode_steps == steps
    # Two of 10 ms in each control step.
    env.reset(seed=0)
    env.step(np.zeros(env.action_space.shape))
    assert env.data.time == pytest.approx(0.02)
    assert env.metadata["render_fps"] == 50
    assert make(task, **SMALL, action_repeat=1).metadata["render_fps"] == 100


def test_time_runs_out(make):
    env = make("hammer", **SMALL, episode_length=3)
    env.reset(seed=0)
    ends = [env.step(np.zeros(26))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def opened(env, angle: float) -> None:
    """A door that stands open."""
    env.set_env_state(env.env_state | {"qpos": np.r_[env.data.qpos[:-2], angle, 1.8], "qvel": np.zeros(30)})


@pytest.mark.parametrize(
    ("rule", "angles", "verdicts"),
    [
        # DP3: beyond 1.4 rad at the last two of four steps.
        ("dp3", (0, 0, 1.5, 1.5), (False, False, False, True)),
        ("dp3", (1.5, 1.5, 1.5, 0), (False, False, False, False)),
        ("dp3", (1.5, 1.5, 1.5, 1.5), (False, False, False, True)),
        ("dp3", (1.38, 1.38, 1.38, 1.38), (False, False, False, False)),
        ("dp3_ever", (0, 1.5, 0, 0), (False, True, True, True)),
        ("gymnasium_robotics", (0, 1.38, 0, 0), (False, True, True, True)),
        ("dapg", (1.5, 1.5, 1.5, 1.5), (False, False, False, False)),
    ],
)
def test_rules_of_success(make, rule, angles, verdicts):
    env = make("door", **SMALL, success_rule=rule, episode_length=4)
    env.reset(seed=0)
    found = []
    for angle in angles:
        opened(env, angle)
        found.append(env.step(np.zeros(28))[4]["is_success"])
    assert tuple(found) == verdicts


def test_dapg_counts_simulator_steps(make):
    env = make("door", **SMALL, success_rule="dapg")
    env.reset(seed=0)
    infos = []
    for _ in range(13):
        opened(env, 1.5)
        infos.append(env.step(np.zeros(28))[4])
    # Two in each control step, and more than 25 are asked for.
    assert [info["success_steps"] for info in infos] == list(range(2, 27, 2))
    assert [info["is_success"] for info in infos] == [False] * 12 + [True]


@pytest.mark.parametrize(("rule", "ends"), [("dp3", True), ("dapg", True), ("gymnasium_robotics", False)])
def test_a_dropped_pen_ends_the_episode_where_it_does(make, rule, ends):
    env = make("pen", **SMALL, success_rule=rule)
    env.reset(seed=0)
    state = env.env_state
    state["qpos"][-6] = 0.2  # the pen's own x points down: 20 cm below the palm
    env.set_env_state(state)
    _, _, terminated, truncated, info = env.step(np.zeros(24))
    assert (terminated, truncated) == (ends, False)
    assert not info["is_success"]


def test_success_may_end_an_episode(make):
    env = make("door", **SMALL, success_rule="dp3_ever", terminate_on_success=True)
    env.reset(seed=0)
    opened(env, 1.5)
    assert env.step(np.zeros(28))[2]


def test_actions_beyond_the_range_are_clipped(make):
    env = make("hammer", **SMALL)
    results = []
    for scale in (1, 5):
        env.reset(seed=0)
        env.step(np.full(26, scale))
        results.append(simulator_state(env))
    np.testing.assert_array_equal(*results)
    with pytest.raises(ValueError, match="26 finite numbers"):
        env.step(np.full(26, np.nan))


@pytest.mark.parametrize("name", ["model", "data", "expert_state", "env_state"])
def test_nothing_is_there_before_a_reset(make, name):
    env = make("door", **SMALL)
    with pytest.raises(RuntimeError, match="reset"):
        getattr(env, name)


def test_only_relocate_has_a_goal_to_show(make):
    shown, hidden = (make("relocate", num_points=8192, show_goal=show, frame="world") for show in (True, False))
    near = []
    for env in (shown, hidden):
        cloud = env.reset(seed=3)[0]["point_cloud"]
        near.append((np.linalg.norm(cloud - env.data.site("target").xpos, axis=1) < 0.021).sum())
    assert near[0] > 3
    assert near[1] == 0
    doors = [make("door", num_points=4096, show_goal=show).reset(seed=3)[0]["point_cloud"] for show in (True, False)]
    np.testing.assert_array_equal(*doors)


@pytest.mark.parametrize(
    ("task", "camera", "height", "low"),
    [("hammer", "top", 1.1, -0.099), ("door", "top", 1.5, -0.499), ("pen", "vil_camera", 0.8, -0.79)],
)
def test_the_legacy_frames_are_dp3s(make, task, camera, height, low):
    env = make(task, **SMALL)
    env.reset(seed=0)
    frame, seen = env.hand_task.frame("legacy"), env.data.camera(camera)
    assert env.cloud_options.camera == camera
    assert env.model.camera(camera).fovy == 45
    assert focal_length(45, 84) == pytest.approx(101.40, abs=0.01)
    np.testing.assert_allclose(frame.crop, [(-10, -10, low), (10, 10, 10)])
    to_frame = frame.rotation @ seen.xmat.reshape(3, 3)
    origin = frame.rotation @ seen.xpos + frame.translation
    if camera == "top":
        # Camera coordinates and a meter along z.
        np.testing.assert_allclose(seen.xpos, [0, 0, height])
        np.testing.assert_allclose(to_frame, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(origin, [0, 0, 1], atol=1e-9)
    else:
        # Camera coordinates turned by the pose of the camera `fixed`, 45 degrees about x.
        np.testing.assert_allclose(seen.xpos, [0, -0.8, 0.8])
        c = np.sqrt(0.5)
        np.testing.assert_allclose(to_frame, [[1, 0, 0], [0, c, -c], [0, c, c]], atol=1e-5)
        np.testing.assert_allclose(origin, 0, atol=1e-9)


@pytest.mark.parametrize("task", HAND_TASKS)
def test_both_frames_show_the_same_points(make, task):
    legacy, world = (make(task, num_points=8192, frame=frame, renderer="raycast") for frame in ("legacy", "world"))
    seen = without_padding(legacy.reset(seed=2)[0]["point_cloud"])
    frame = legacy.hand_task.frame("legacy")
    back = (seen - frame.translation) @ frame.rotation
    cloud = without_padding(world.reset(seed=2)[0]["point_cloud"])
    # DP3 takes points at the corners of pixels: half a pixel, 5 mm at a meter.
    assert np.quantile(cKDTree(cloud).query(back)[0], 0.98) < 0.02
    assert cloud[:, 2].min() > 0


def test_short_clouds_are_filled_up_with_zeros(make):
    cloud = make("hammer", view="dp3").reset(seed=0)[0]["point_cloud"]
    points = without_padding(cloud)
    assert 430 < len(points) < 480
    assert (cloud[len(points) :] == 0).all()


@needs_graphics
@pytest.mark.parametrize("task", HAND_TASKS)
def test_drawing_and_ray_casting_see_the_same(make, task):
    env = make(task, renderer="egl", num_points=84 * 84)
    shares = []
    for seed in range(3):
        env.reset(seed=seed)
        for action in actions(env, 5 + 5 * seed):
            drawn = env.step(action)[0]["point_cloud"]
        caster = RayDepthCamera(env.model)
        camera, env._sensor._camera = env._sensor._camera, caster
        cast = env._sensor.look(env.data, goal=env._goal())[0]
        env._sensor._camera = camera
        clouds = without_padding(drawn), without_padding(cast)
        shares += [cKDTree(one).query(other)[0] < 0.01 for one, other in (clouds, clouds[::-1])]
    assert np.concatenate(shares).mean() > 0.995


@needs_graphics
@needs_store
@pytest.mark.parametrize("episode", [0, 1])
def test_a_legacy_demonstration_is_reproduced(make, episode):
    """Same board, same actions: same joints and the same cloud, markers included."""
    import zarr

    store = zarr.open(str(LEGACY_STORE), mode="r")
    first = 0 if episode == 0 else int(store["meta/episode_ends"][episode - 1])
    env = make("hammer", view="dp3", renderer="egl")
    # The board's height is not in the store; these seeds draw those that its clouds show.
    observation, _ = env.reset(seed=episode)
    for step in range(12):
        np.testing.assert_allclose(observation["agent_pos"], store["data/state"][first + step], atol=1e-6)
        legacy = store["data/point_cloud"][first + step, :, :3]
        seen, recorded = without_padding(observation["point_cloud"]), without_padding(legacy)
        assert len(seen) == len(recorded)
        assert cKDTree(seen).query(recorded)[0].max() < 1e-4
        assert inside_box(recorded, *env.hand_task.crops["legacy"]).all()
        observation = env.step(store["data/action"][first + step])[0]


def test_closing_frees_and_a_reset_builds_anew(make):
    env = make("door", **SMALL)
    first = env.reset(seed=0)[0]
    env.close()
    env.close()
    second = env.reset(seed=0)[0]
    np.testing.assert_array_equal(first["point_cloud"], second["point_cloud"])
    assert isinstance(env.model, mujoco.MjModel)
