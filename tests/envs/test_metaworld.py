"""The MetaWorld environments, walked through the registry, and the DP3 frame."""

from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from metaworld.policies import ENV_POLICY_MAP
from scipy.spatial import cKDTree

import lerobot_sdm  # noqa: F401 - registers the environments
from lerobot_sdm.clouds.geometry import focal_length, inside_box, pixel_rays, transform
from lerobot_sdm.envs.depth_camera import RayDepthCamera, graphics_failure
from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv, legacy_frame
from lerobot_sdm.envs.metaworld.tasks import all_tasks

LEGACY_STORE = Path(__file__).parents[2] / "../shared/data/zarr/metaworld_drawer-open_expert.zarr"
SMALL = {"num_points": 8, "camera_size": 16, "render_size": 16}
needs_graphics = pytest.mark.skipif(graphics_failure() is not None, reason=str(graphics_failure()))


@pytest.fixture
def make():
    """Build environments that are closed when the test ends."""
    built = []

    def build(*args, **kwargs):
        built.append(MetaWorldPointCloudEnv(*args, **kwargs))
        return built[-1]

    yield build
    for env in built:
        env.close()


def simulator_state(env):
    """Everything that decides how an episode goes on, the goal included."""
    sim = env._sim
    moved = [sim.model.body_pos, sim.model.site_pos, sim.data.mocap_pos, sim._target_pos, env.expert_state]
    return np.concatenate([sim.data.qpos, sim.data.qvel, *(np.ravel(array) for array in moved)])


def test_only_clouds_that_a_policy_reads_are_made(make):
    """Of chunks of 4 actions planned from 2 observations: those at steps 0, 3, 4, 7, 8, and the last."""
    small = {**SMALL, "episode_length": 10}
    whole, some = make("reach", **small), make("reach", **small, n_action_steps=4, n_obs_steps=2)
    observations = [(whole.reset(seed=3)[0], some.reset(seed=3)[0])]
    observations += [(whole.step(action)[0], some.step(action)[0]) for action in np.full((10, 4), 0.3)]
    read = []
    for step, (expected, found) in enumerate(observations):
        np.testing.assert_array_equal(found["agent_pos"], expected["agent_pos"])
        if np.isnan(found["point_cloud"]).all():
            continue
        np.testing.assert_array_equal(found["point_cloud"], expected["point_cloud"])
        read.append(step)
    assert read == [0, 3, 4, 7, 8, 10]
    assert np.isfinite(some.reset(seed=3)[0]["point_cloud"]).all()


@pytest.mark.parametrize("task", all_tasks())
def test_every_registered_task(task):
    """check_env, seeding and the goal's absence, in one visit because building is what takes time."""
    env = gym.make(f"lerobot_sdm/MetaWorld-{task}-v0", **SMALL)
    check_env(env.unwrapped, skip_render_check=True)
    bare = env.unwrapped
    assert bare.task == task
    assert len(bare.task_description) > 5

    observation, info = env.reset(seed=5)
    assert info == {"is_success": False, "goal_reached": False, "success_steps": 0}
    start = simulator_state(bare)
    for _ in range(3):
        observation, reward, _, _, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        assert set(info) == {"is_success", "goal_reached", "success_steps"}
    env.reset()
    assert not np.array_equal(simulator_state(bare), start)
    env.reset(seed=5)
    np.testing.assert_array_equal(simulator_state(bare), start)

    # The markers of goals are where MetaWorld wants them, in the first frame and later.
    for _ in range(2):
        for name, position in bare._sim._target_site_config:
            np.testing.assert_array_equal(bare._sim.data.site(name).xpos, position[:3])
        env.step(env.action_space.sample())

    # Markers of goals and parts may be anywhere: nothing of them is seen.
    before = bare._sensor.look(bare._sim.data)[0]
    bare._sim.data.site_xpos[:] = [0.0, 0.6, 0.2]
    np.testing.assert_array_equal(bare._sensor.look(bare._sim.data)[0], before)
    env.close()


def test_a_seed_gives_one_episode_in_any_process_and_after_any_history(make):
    fresh, used = make("stick-pull", **SMALL), make("stick-pull", **SMALL)
    used.reset(seed=1)
    for _ in range(25):
        used.step(used.action_space.sample())
    fresh.reset(seed=7)
    used.reset(seed=7)
    actions = np.random.default_rng(0).uniform(-1, 1, (15, 4))
    for action in actions:
        ours, theirs = fresh.step(action), used.step(action)
        np.testing.assert_array_equal(ours[0]["point_cloud"], theirs[0]["point_cloud"])
        assert ours[1:] == theirs[1:]
    np.testing.assert_array_equal(simulator_state(fresh), simulator_state(used))
    # Without a seed both go on along the same stream.
    fresh.reset()
    used.reset()
    np.testing.assert_array_equal(simulator_state(fresh), simulator_state(used))


def test_the_first_observation_shows_this_episode(make):
    """MetaWorld's reset leaves bodies where the previous episode had them until the next step."""
    env = make("drawer-open", **SMALL)
    for seed in range(3):
        env.reset(seed=seed)
        handle, goal = env.expert_state[4:7], env.expert_state[-3:]
        np.testing.assert_allclose(handle - goal, [0, 0.19, 0], atol=1e-6)
        np.testing.assert_array_equal(env.expert_state[:18], env.expert_state[18:36])


def test_an_expert_ends_the_episode_with_its_first_success(make):
    env = make("reach", **SMALL)
    expert = ENV_POLICY_MAP["reach-v3"]()
    env.reset(seed=0)
    terminated = truncated = False
    while not (terminated or truncated):
        _, _, terminated, truncated, info = env.step(expert.get_action(env.expert_state))
    assert terminated
    assert info == {"is_success": True, "goal_reached": True, "success_steps": 1}


def test_success_can_be_held_and_time_runs_out(make):
    env = make("reach", **SMALL, terminate_on_success=False, episode_length=80)
    expert = ENV_POLICY_MAP["reach-v3"]()
    env.reset(seed=0)
    steps = [env.step(expert.get_action(env.expert_state)) for _ in range(80)]
    assert not any(terminated for _, _, terminated, _, _ in steps)
    assert [truncated for *_, truncated, _ in steps] == [False] * 79 + [True]
    assert steps[-1][4]["success_steps"] == sum(info["goal_reached"] for *_, info in steps) > 5


def test_success_at_any_step_counts_even_if_the_goal_is_left_again(make):
    env = make("reach", **SMALL, terminate_on_success=False)
    expert = ENV_POLICY_MAP["reach-v3"]()
    env.reset(seed=0)
    while not (info := env.step(expert.get_action(env.expert_state))[4])["goal_reached"]:
        assert not info["is_success"]
    while info["goal_reached"]:
        info = env.step(np.array([0.0, -1.0, 1.0, 0.0]))[4]
        assert info["is_success"]
    assert info["is_success"]
    assert not env.reset(seed=0)[1]["is_success"]


def test_episodes_longer_than_metaworlds_own(make):
    env = make("reach", **SMALL, episode_length=502, terminate_on_success=False, renderer="raycast")
    env.reset(seed=0)
    for _ in range(502):
        truncated = env.step(np.zeros(4))[3]
    assert truncated


def test_agent_pos_is_hand_and_fingers_and_knows_no_goal(make):
    env = make("reach", **SMALL, frame="world")
    observation, _ = env.reset(seed=0)
    hand, right, left = observation["agent_pos"].reshape(3, 3)
    np.testing.assert_allclose(hand, env.expert_state[:3], atol=1e-6)
    # Seen from the hand, which then says nothing of where it is.
    seen_from_hand = make("reach", **SMALL, frame="hand").reset(seed=0)[0]["agent_pos"].reshape(3, 3)
    np.testing.assert_allclose(seen_from_hand, [hand - hand, right - hand, left - hand], atol=1e-6)
    # The open gripper is about 10 cm wide, along y, and hangs under the hand.
    np.testing.assert_allclose(left - right, [0, 0.1, 0], atol=0.02)
    assert hand[2] - right[2] == pytest.approx(0.045, abs=0.01)
    goals = []
    for _ in range(2):
        goals.append(env.expert_state[-3:].copy())
        np.testing.assert_allclose(env.reset()[0]["agent_pos"], observation["agent_pos"], atol=0.02)
    assert np.abs(goals[0] - goals[1]).max() > 0.01


@pytest.mark.parametrize("renderer", ["egl", "raycast"])
def test_the_goal_is_shown_or_hidden_on_request(make, renderer):
    if renderer == "egl" and graphics_failure():
        pytest.skip(graphics_failure())
    options = {"num_points": 8192, "frame": "world", "renderer": renderer, "pixels": True, "camera_size": 96}
    shown = make("reach", **options, show_goal=True)
    hidden = make("reach", **options, show_goal=False)
    observations = [env.reset(seed=3)[0] for env in (shown, hidden)]
    near = [
        (np.linalg.norm(observation["point_cloud"] - shown.expert_state[-3:], axis=1) < 0.021).sum()
        for observation in observations
    ]
    assert near[0] > 3
    assert near[1] == 0
    assert (observations[0]["pixels"] != observations[1]["pixels"]).any()


@pytest.mark.parametrize("bad", [np.full(4, np.nan), np.zeros(3), np.zeros((1, 4))])
def test_actions_that_cannot_be_executed(make, bad):
    env = make("reach", **SMALL)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="4 finite numbers"):
        env.step(bad)


@pytest.mark.parametrize("use", [lambda env: env.step(np.zeros(4)), lambda env: env.render()])
def test_before_the_first_reset(make, use):
    with pytest.raises(RuntimeError, match="reset the environment first"):
        use(make("reach", **SMALL))


@pytest.mark.parametrize("renderer", ["egl", "raycast"])
def test_rendering(make, renderer):
    if renderer == "egl" and graphics_failure():
        pytest.skip(graphics_failure())
    env = make("drawer-open", renderer=renderer, num_points=8, camera_size=32, render_size=128, pixels=True)
    observation, _ = env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (128, 128, 3)
    assert frame.dtype == np.uint8
    # Upright: the empty dark room is above the table, and the red arm comes in from the upper left.
    assert frame[:16].mean() < frame[-16:].mean()
    assert observation["pixels"][:4].mean() < observation["pixels"][-4:].mean()
    red = (frame[..., 0] > 90) & (frame[..., 1] < 60)
    assert red[:, :64].sum() > red[:, 64:].sum()
    np.testing.assert_array_equal(env.render(), frame)
    env.step(np.ones(4))
    assert (env.render() != frame).any()


def test_colors_and_padding(make):
    colored = make("drawer-open", view="dp3", num_points=4096, use_color=True, camera_size=48)
    cloud = colored.reset(seed=0)[0]["point_cloud"]
    filled = int((cloud[:, :3] != 0).any(axis=1).sum())
    assert 100 < filled < 4096
    np.testing.assert_array_equal(cloud[filled:], 0)
    assert 100 < cloud[:, 3:].max() <= 255
    plain = make("drawer-open", view="dp3", num_points=64, camera_size=48)
    np.testing.assert_allclose(plain.reset(seed=0)[0]["point_cloud"], cloud[:64, :3], atol=1e-6)


def test_a_custom_crop(make):
    box = ((-0.2, 0.4, 0.02), (0.2, 0.9, 0.5))
    cloud = make("push", frame="world", crop=box, num_points=32, show_goal=False).reset(seed=0)[0]["point_cloud"]
    assert inside_box(cloud, *box).all()


# The robot's meshes have some inverted faces, which OpenGL leaves out and rays do not: 0.2% of the pixels.
@needs_graphics
@pytest.mark.parametrize("task", ["drawer-open", "soccer", "assembly", "hand-insert"])
def test_drawing_and_ray_casting_see_the_same(make, task):
    env = make(task, view="dp3", renderer="egl", num_points=128 * 128, frame="world")
    env.reset(seed=1)
    for _ in range(3):
        drawn = env.step(np.array([0.3, 0.2, -1.0, 0.0]))[0]["point_cloud"]
    model, data = env._sim.model, env._sim.data
    caster = RayDepthCamera(model)
    depth = caster.take(data, "corner2", 128).depth
    other = env._camera.take(data, "corner2", 128).depth
    close = np.isclose(depth, other, atol=0.01, rtol=0)
    assert close.mean() > 0.995

    env._sensor._camera = caster
    cast = env._sensor.look(data)[0]
    clouds = [cloud[(cloud != 0).any(axis=1)] for cloud in (drawn, cast)]
    for cloud, reference in (clouds, clouds[::-1]):
        assert (cKDTree(reference).query(cloud)[0] < 0.01).mean() > 0.99


def test_the_legacy_frame_is_the_reference_one(make):
    env = make("drawer-open", **SMALL)
    env.reset(seed=0)
    camera = env._sim.data.camera("corner2")
    frame = legacy_frame()
    np.testing.assert_allclose(camera.xpos, [0.6, 0.295, 0.8])
    assert env._sim.model.camera("corner2").fovy == 60
    assert focal_length(60, 128) == pytest.approx(110.85, abs=0.01)
    # DP3 multiplies camera coordinates with this matrix and adds nothing.
    camera_to_frame = frame.rotation @ camera.xmat.reshape(3, 3)
    expected = [[0.99255, 0, -0.12187], [0.10700, 0.47869, 0.87144], [0.05834, -0.87798, 0.47512]]
    np.testing.assert_allclose(camera_to_frame, expected, atol=1e-5)
    np.testing.assert_allclose(frame.rotation @ camera.xpos + frame.translation, 0, atol=1e-12)
    # world = Q frame + camera
    Q = [[-0.63668, 0.77108, -0.00808], [-0.77113, -0.63666, 0.00545], [-0.00094, 0.00970, 0.99995]]
    np.testing.assert_allclose(frame.rotation.T, Q, atol=1e-5)


def test_where_the_table_is(make):
    env = make("basketball", num_points=8)
    env.reset(seed=0)
    data = env._sim.data
    depth = env._camera.take(data, "corner2", 128).depth.reshape(-1, 1)
    rays = pixel_rays(128, 128, 60, 0.5)[np.isfinite(depth[:, 0])]
    camera = data.camera("corner2")
    world = transform(depth[np.isfinite(depth)][:, None] * rays, camera.xmat.reshape(3, 3), camera.xpos)
    table = world[np.abs(world[:, 2]) < 1e-4]
    assert len(table) > 2000
    heights = transform(table, legacy_frame().rotation, legacy_frame().translation)[:, 2]
    assert heights.min() == pytest.approx(-0.7954, abs=1.5e-3)
    assert heights.max() == pytest.approx(-0.7858, abs=1.5e-3)


@needs_graphics
@pytest.mark.skipif(not LEGACY_STORE.exists(), reason="needs the shared DP3-format demonstrations")
@pytest.mark.parametrize("episode", [0, 1, 2])
def test_a_legacy_demonstration_is_reproduced(make, episode):
    """Same drawer, same actions: same proprioception and same cloud as in a recorded DP3-format store."""
    import zarr

    store = zarr.open(str(LEGACY_STORE), mode="r")
    first = 0 if episode == 0 else int(store["meta/episode_ends"][episode - 1])
    env = make("drawer-open", view="dp3", num_points=128 * 128, renderer="egl", terminate_on_success=False)
    env._build()
    env._sim._freeze_rand_vec = True
    # What the simulator drew: the drawer, from which the task derives its goal.
    env._sim._last_rand_vec = store["data/full_state"][first, -3:] - [0, -0.36, 0.09]
    observation, _ = env.reset()
    for step in range(12):
        recorded = store["data/state"][first + step]
        # The recording's first row holds positions from before the reset's last simulation step.
        np.testing.assert_allclose(observation["agent_pos"], recorded, atol=1e-6 if step else 5e-4)
        legacy = store["data/point_cloud"][first + step, :, :3]
        cloud = observation["point_cloud"]
        cloud = cloud[(cloud != 0).any(axis=1)]
        distance = cKDTree(cloud).query(legacy)[0]
        assert np.median(distance) < 1e-5
        # Markers of goal and fingers are part of it. At a reset, the recording's goal is still the last episode's.
        assert (distance < 1e-3).mean() > (0.997 if step else 0.97)
        low, high = legacy_frame().crop
        assert inside_box(cloud, low, high).all()
        observation = env.step(store["data/action"][first + step])[0]


def test_closing_frees_and_a_reset_builds_anew(make):
    env = make("reach", **SMALL)
    first = env.reset(seed=0)[0]
    env.close()
    env.close()
    second = env.reset(seed=0)[0]
    np.testing.assert_array_equal(first["point_cloud"], second["point_cloud"])
    assert isinstance(env._sim.model, mujoco.MjModel)
