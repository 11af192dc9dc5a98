"""The DexArt environments, walked through the registry: seeding, clouds, physics, objects, and what is refused."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from example_scripts import load_script
from gymnasium.utils.env_checker import check_env
from scipy.spatial import cKDTree

import lerobot_sdm  # noqa: F401 - registers the environments
from lerobot_sdm.envs.depth_camera import RayDepthCamera, graphics_failure
from lerobot_sdm.envs.dexart.configuration import DexArtPointCloudEnvConfig
from lerobot_sdm.envs.dexart.env import DexArtPointCloudEnv
from lerobot_sdm.envs.dexart.objects import OFFICIAL_IDS
from lerobot_sdm.envs.dexart.robot import ACTIVE_JOINTS
from lerobot_sdm.envs.dexart.stand_ins import stand_in
from lerobot_sdm.envs.dexart.tasks import DEXART_TASKS
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import make_expert

SMALL = {"num_points": 8, "camera_size": 16, "render_size": 16}
needs_graphics = pytest.mark.skipif(graphics_failure() is not None, reason=str(graphics_failure()))


@pytest.fixture
def make():
    """Build environments that are closed when the test ends."""
    built = []

    def build(task: str, **kwargs):
        built.append(DexArtPointCloudEnv(task, **kwargs))
        return built[-1]

    yield build
    for env in built:
        env.close()


@pytest.fixture(scope="module")
def random_steps():
    return load_script("benchmarks/random_steps.py")


def state(env) -> np.ndarray:
    return np.concatenate([env.world.data.qpos, env.world.data.qvel, env.world.data.body("object").xpos])


@pytest.mark.parametrize("task", DEXART_TASKS)
def test_every_registered_task(task):
    env = gym.make(f"lerobot_sdm/DexArt-{task}-v0", **SMALL, imagin_robot="apart")
    check_env(env.unwrapped, skip_render_check=True)
    bare = env.unwrapped
    observation, info = env.reset(seed=5)
    assert info == {"is_success": False, "goal_reached": False, "success_steps": 0}
    assert observation["agent_pos"].shape == (33 if task == "bucket" else 32,)
    assert observation["imagin_robot"].shape == (96, 7)
    # At zero but for the thumb, which cannot be.
    assert (observation["agent_pos"][:22] != 0).sum() == 1
    assert bare.expert_state.shape == (40,)
    start, name = state(bare), bare.object_name
    env.step(env.action_space.sample())
    assert env.render().shape == (16, 16, 3)
    env.reset()
    assert not np.array_equal(state(bare), start)
    env.reset(seed=5)
    np.testing.assert_array_equal(state(bare), start)
    assert bare.object_name == name
    env.close()


def test_a_seed_gives_one_episode_after_any_history(make):
    fresh, used = make("laptop", **SMALL), make("laptop", **SMALL)
    used.reset(seed=1)
    actions = np.random.default_rng(0).uniform(-1, 1, (10, 22))
    for action in actions:
        used.step(action)
    fresh.reset(seed=7)
    used.reset(seed=7)
    for action in actions:
        ours, theirs = fresh.step(action), used.step(action)
        np.testing.assert_array_equal(ours[0]["point_cloud"], theirs[0]["point_cloud"])
        assert ours[1:] == theirs[1:]


def test_actions_are_the_twist_of_the_last_link(make):
    env = make("toilet", **SMALL)
    env.reset(seed=0)
    before = env.world.data.body("link6").xpos.copy()
    action = np.zeros(22)
    action[2] = 0.3
    for _ in range(10):
        env.step(action)
    x, y, z = env.world.data.body("link6").xpos - before
    # 0.3 m/s for 0.4 s upwards, less what the start and the damping of the inverse cost.
    assert 0.08 < z < 0.12
    assert max(abs(x), abs(y)) < 0.01
    assert env.world.data.time == pytest.approx(0.4)


@pytest.mark.parametrize(("task", "share"), [("laptop", 0.1), ("bucket", 0.25)])
def test_a_cut_episode_tells_the_time_of_the_rules(make, task, share):
    """After 25 steps a policy sees what demonstrations of full length (250 steps, bucket 100) show there."""
    env = make(task, **SMALL, episode_length=50, terminate_on_success=False)
    env.reset(seed=0)
    for _ in range(25):
        observation, *_ = env.step(np.zeros(22))
    assert observation["agent_pos"][-1] == pytest.approx(share)


def test_finger_joints_are_in_sapiens_order(make):
    assert ACTIVE_JOINTS[6:12] == ("joint_0.0", "joint_4.0", "joint_8.0", "joint_12.0", "joint_1.0", "joint_5.0")
    env = make("toilet", **SMALL)
    env.reset(seed=0)
    action = np.r_[np.zeros(6), -np.ones(16)]
    action[6 + 4] = 1.0
    for _ in range(30):
        env.step(action)
    assert env.world.data.joint("joint_1.0").qpos[0] > 1.0
    assert env.world.data.joint("joint_5.0").qpos[0] < 0.2


@pytest.mark.parametrize("task", DEXART_TASKS)
def test_physics_is_stable(random_steps, task):
    """A few episodes of what `examples/benchmarks/random_steps.py` does for 10,000 steps."""
    found = random_steps.shaken(task, steps=300, episode_length=75)
    assert (found.steps, found.episodes) == (300, 4)
    assert found.not_finite == 0
    assert found.warnings == {}
    # Drives move the fingers at some tens of radians per second; what explodes is orders of magnitude beyond.
    assert 0.5 < found.fastest_joint < 100
    assert found.fastest_hinge < 100


def test_a_lid_stays_open(make):
    env = make("laptop", **SMALL, episode_length=100)
    env.reset(seed=0)
    start = env.measured.angle
    for _ in range(50):
        env.step(np.r_[np.zeros(6), -np.ones(16)])
    assert env.measured.angle == pytest.approx(start, abs=0.02)


def test_a_lid_does_not_touch_its_own_base(make):
    env = make("laptop", **SMALL)
    env.reset(seed=0)
    model, data = env.world.model, env.world.data
    data.joint("handle").qpos[:] = 0.0  # Closed: one lies on the other.
    mujoco.mj_forward(model, data)
    touching = {frozenset(model.body(model.geom_bodyid[geom]).name for geom in pair) for pair in data.contact.geom}
    assert {"object", "handle"} not in touching


def test_no_episode_starts_with_the_hand_inside_the_object(make):
    env, as_drawn = make("toilet", **SMALL, objects="toilet-0"), []
    for seed in range(20):
        env.reset(seed=seed)
        assert env.world.overlap() < 0.001
        first = env.dexart_task.start(np.random.default_rng(seed), env._offset, env._yaw, env.world.handle_range)
        env.world.reset(first)
        as_drawn.append(env.world.overlap())
    assert max(as_drawn) > 0.01


@pytest.mark.parametrize("task", DEXART_TASKS)
def test_clouds_are_in_the_frame_and_its_box(make, task):
    exact = {"view": "dp3", "cloud_noise": 0.0, "renderer": "raycast", "sampling": "fps"}
    exact |= {"num_points": 300, "camera_size": 48}
    legacy, world = (make(task, frame=frame, **exact) for frame in ("legacy", "world"))
    seen, same = (env.reset(seed=2)[0]["point_cloud"] for env in (legacy, world))
    low, high = legacy.dexart_task.crop
    assert (seen > low).all()
    assert (seen < high).all()
    np.testing.assert_allclose(seen + legacy.dexart_task.robot_position, same, atol=1e-5)


@pytest.mark.parametrize("mode", ["joined", "apart"])
def test_a_cloud_that_is_left_out_has_no_hand_either(make, mode):
    env = make("faucet", **SMALL, imagin_robot=mode, n_action_steps=4)
    assert all(np.isfinite(value).all() for value in env.reset(seed=3)[0].values())
    observation, *_ = env.step(np.zeros(22))
    assert np.isfinite(observation.pop("agent_pos")).all()
    assert observation
    assert all(np.isnan(value).all() for value in observation.values())


def test_clouds_that_are_left_out_change_no_other(make):
    whole, some = make("laptop", **SMALL), make("laptop", **SMALL, n_action_steps=4)
    observations = [(whole.reset(seed=3)[0], some.reset(seed=3)[0])]
    observations += [(whole.step(action)[0], some.step(action)[0]) for action in np.zeros((8, 22))]
    read = [np.isfinite(found["point_cloud"]).all() for _, found in observations]
    assert np.flatnonzero(read).tolist() == [0, 3, 4, 7, 8]
    for made in np.flatnonzero(read):
        np.testing.assert_array_equal(*(observation["point_cloud"] for observation in observations[made]))
    # Each step has its own noise, and looking draws none.
    assert (observations[0][0]["point_cloud"] != observations[3][0]["point_cloud"]).any()
    some.points_by_part()
    starts = [env.reset()[0]["point_cloud"] for env in (whole, some)]
    np.testing.assert_array_equal(*starts)
    np.testing.assert_array_equal(state(whole), state(some))


def test_the_imagined_hand_lies_on_the_hand(make):
    joined, apart = (make("faucet", num_points=16, imagin_robot=mode) for mode in ("joined", "apart"))
    cloud, hand = joined.reset(seed=3)[0]["point_cloud"], apart.reset(seed=3)[0]["imagin_robot"]
    np.testing.assert_array_equal(cloud[:96], hand[:, :3])
    assert (hand[:, 3:] == [0, 0, 1, 0]).all()
    # The first eight are on the ball of the index finger's tip, 12 mm around it.
    tip = apart.world.data.body("link_3.0_tip").xpos - apart.dexart_task.robot_position
    np.testing.assert_allclose(np.linalg.norm(hand[:8, :3] - tip, axis=1), 0.012, atol=1e-6)


@needs_graphics
@pytest.mark.parametrize("task", DEXART_TASKS)
def test_drawing_and_ray_casting_see_the_same_while_things_move(make, task):
    """On frames of an expert's episode: of all points, at most 2% are further than 1.5 cm from the other cloud.

    Those are edges: cylinders are drawn as polygons, and a pixel half on an edge is of one thing or of another.
    """
    env = make(task, view="dp3", renderer="egl", cloud_noise=0.0, num_points=84 * 84, terminate_on_success=False)
    observation, _ = env.reset(seed=1)
    expert = make_expert("dexart", task)
    expert.reset(env, seed=1)
    caster, palms, angles = RayDepthCamera(env.world.model), [], []
    for step in range(121):
        if step % 30 == 0:
            drawn = observation["point_cloud"]
            env._sensor._camera, camera = caster, env._sensor._camera
            cast = env._sensor.look(env.world.data)[0]
            env._sensor._camera = camera
            near = [cKDTree(one).query(other)[0] < 0.015 for one, other in ((drawn, cast), (cast, drawn))]
            assert np.concatenate(near).mean() > 0.98, step
            palms.append(env.measured.palm_position)
            angles.append(env.measured.angle + env.measured.height)
        observation, *_ = env.step(expert.act(env))
    # It is another scene each time: hand and object have moved.
    assert np.linalg.norm(np.diff(palms, axis=0), axis=1).max() > 0.1
    assert np.ptp(angles) > 0.1


def test_jitter_moves_the_camera_and_can_be_switched_off(make):
    poses = []
    for jitter in (0.0, 1.0):
        env = make("laptop", **SMALL, camera_jitter=jitter)
        env.reset(seed=0)
        poses.append(env.world.data.camera("instance_1").xpos.copy())
    np.testing.assert_allclose(poses[0], [0, 1, 0.5])
    assert 0 < np.linalg.norm(poses[1] - poses[0]) < 0.1


@pytest.mark.parametrize("task", DEXART_TASKS)
def test_splits_do_not_overlap_and_instances_differ(task):
    seen, unseen = (set(DexArtPointCloudEnv(task, objects=split).object_names) for split in ("seen", "unseen"))
    assert (len(seen), len(unseen)) == (8, 4)
    assert not seen & unseen
    sizes = {stand_in(name).spec.compile().geom_size.sum() for name in seen | unseen}
    assert len(sizes) == 12
    assert not set(OFFICIAL_IDS[task]["seen"]) & set(OFFICIAL_IDS[task]["unseen"])


@pytest.mark.parametrize("build", [DexArtPointCloudEnv, DexArtPointCloudEnvConfig])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("task", "laptp"), ("rule_set", "dexpoint"), ("objects", "laptop-12"), ("objects", ""), ("sampling", "grid")),
        *(("imagin_robot", "yes"), ("cloud_noise", -0.1), ("camera_jitter", float("nan")), ("camera", "top")),
        *(("assets_dir", "/nowhere"), ("num_points", 0), ("episode_length", 0)),
    ],
)
def test_bad_input_is_refused_by_name(build, key, value):
    with pytest.raises(InputError, match=key):
        build(**{key: value})


def test_scenes_hold_no_actuator_too_many(make):
    env = make("bucket", **SMALL)
    env.reset(seed=0)
    assert [mujoco.mj_id2name(env.world.model, mujoco.mjtObj.mjOBJ_ACTUATOR, i) for i in range(22)] == [*ACTIVE_JOINTS]
