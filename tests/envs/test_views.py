"""Views: what a cloud shows of every task, walked through the families, and what an option changes of a view."""

import mujoco
import numpy as np
import pytest
from metaworld.policies import ENV_POLICY_MAP

from lerobot_sdm.envs.adroit.env import AdroitPointCloudEnv
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS
from lerobot_sdm.envs.depth_camera import (
    GOAL,
    MARKER,
    NOTHING,
    VISIBLE_GEOM_GROUPS,
    RayDepthCamera,
    graphics_failure,
)
from lerobot_sdm.envs.dexart.env import DexArtPointCloudEnv
from lerobot_sdm.envs.dexart.tasks import DEXART_TASKS
from lerobot_sdm.envs.metaworld.env import MetaWorldPointCloudEnv
from lerobot_sdm.envs.metaworld.tasks import HIDDEN_GOALS, METAWORLD_TASKS
from lerobot_sdm.envs.metaworld.views import views
from lerobot_sdm.envs.options import options_of_view
from lerobot_sdm.errors import InputError

STEPS, EVERY = 100, 20
LEAST_HAND, LEAST_OBJECT, LEAST_AT_START = 4, 1, 3
LEAST_DEXTEROUS = 10

# What may be out of sight, and why.
HIDDEN = {
    # It starts in a hole in the table, always at the same place; and the table itself, above which the box begins.
    ("pick-out-of-hole", "obj"),
    ("pick-out-of-hole", "body 34"),
    # It ends in one.
    ("hand-insert", "obj"),
    ("sweep-into", "obj"),
    # The hand covers it while it slides it, and the goal when it is in it.
    ("plate-slide-back-side", "puck_channel"),
    ("soccer", "soccer_ball"),
    # It reaches into the goal.
    ("soccer", "hand"),
    # The camera does not look where these end. Of stick-pull, what comes within 12 cm of the goal has arrived.
    ("stick-pull", "goal"),
    ("stick-pull", "stick"),
    ("sweep", "hand"),
    ("sweep", "obj"),
}


def points_along_an_episode(env, task, seed):
    """What `points_by_part` says along an expert's episode; looked at rarely, since looking costs most."""
    expert = ENV_POLICY_MAP[f"{task}-v3"]()
    env.reset(seed=seed)
    for step in range(STEPS):
        if step % EVERY == 0:
            yield env.points_by_part()
        env._advance(np.clip(expert.get_action(env.expert_state), -1, 1))


@pytest.mark.parametrize("task", METAWORLD_TASKS)
def test_the_default_view_shows_hand_objects_and_goal_along_the_experts_episode(task):
    env = MetaWorldPointCloudEnv(task, terminate_on_success=False)
    for seed in range(2):
        frames = list(points_along_an_episode(env, task, seed))
        least = dict.fromkeys(env.objects, LEAST_OBJECT) | {"hand": LEAST_HAND}
        needed = {name: points for name, points in least.items() if (task, name) not in HIDDEN}
        for seen in frames:
            assert {"arm", "scenery", "markers"}.isdisjoint(seen)
            assert all(seen.get(name, 0) >= least for name, least in needed.items()), (seed, seen)
        # Most is to be seen at the start: later the hand holds things, and what has arrived hides the goal.
        assert all(frames[0].get(name, 0) >= LEAST_AT_START for name in needed), frames[0]
        assert ("goal" in frames[0]) == (task in HIDDEN_GOALS and (task, "goal") not in HIDDEN)
    env.close()


@pytest.mark.parametrize(
    ("env_class", "task"),
    [(AdroitPointCloudEnv, task) for task in HAND_TASKS] + [(DexArtPointCloudEnv, task) for task in DEXART_TASKS],
)
def test_the_default_view_shows_hand_and_objects_of_the_dexterous_tasks(env_class, task):
    env = env_class(task)
    for seed in range(2):
        env.reset(seed=seed)
        seen = env.points_by_part()
        assert {"arm", "scenery"}.isdisjoint(seen)
        for part in ("hand", *env.objects, *["goal"] * (task == "relocate")):
            assert seen.get(part, 0) >= LEAST_DEXTEROUS, (part, seen)
    env.close()


def test_parts_of_a_cloud_are_those_that_rays_hit():
    """A ray from the camera through each point meets the geom that the point is counted for."""
    env = MetaWorldPointCloudEnv("stick-push", num_points=64, renderer="raycast", camera_size=64)
    env.reset(seed=3)
    model, data = env._model, env._data
    origin, found, geom = data.camera("corner2").xpos, {}, np.empty(1, np.int32)
    for point in env._observation()["point_cloud"].astype(float) + data.body("hand").xpos:
        distance = mujoco.mj_ray(model, data, origin, point - origin, VISIBLE_GEOM_GROUPS, 1, -1, geom)
        assert distance == pytest.approx(1, abs=1e-3)
        part = env._part_of(geom[0])
        found[part] = found.get(part, 0) + 1
    assert found == env.points_by_part()
    assert set(found) == {"hand", "stick", "object"}
    env.close()


@pytest.mark.skipif(graphics_failure() is not None, reason=str(graphics_failure()))
@pytest.mark.parametrize(
    ("env_class", "task", "markers"),
    [
        (MetaWorldPointCloudEnv, "push", False),
        (MetaWorldPointCloudEnv, "push", True),
        # One of its markers is a disc.
        (AdroitPointCloudEnv, "hammer", True),
    ],
)
def test_drawing_and_ray_casting_name_the_same_geoms(env_class, task, markers):
    env = env_class(task, renderer="egl", num_points=8)
    env.reset(seed=1)
    goal, data, camera = env._goal(), env._data, env.cloud_options.camera
    drawn = env._camera.take(data, camera, 96, goal=goal, markers=markers).geoms
    cast = RayDepthCamera(env._model).take(data, camera, 96, goal=goal, markers=markers).geoms
    assert (drawn == cast).mean() > 0.98
    # MetaWorld's own marker of the goal is as large as the ball, and at the same place.
    balls = [np.isin(picture, (MARKER, GOAL)).sum() for picture in (drawn, cast)]
    assert balls[0] == pytest.approx(balls[1], rel=0.1, abs=2)
    assert balls[0] > 2
    assert (MARKER in drawn) == (MARKER in cast) == markers
    assert NOTHING in drawn or task == "hammer"  # Whose walls fill the picture.
    env.close()


def test_the_arm_is_left_out_and_still_hides_what_is_behind_it():
    options = {"frame": "world", "crop": ((-2, -2, -1), (2, 2, 2)), "num_points": 128 * 128}
    with_arm, without = (MetaWorldPointCloudEnv("reach", show_arm=show, **options) for show in (True, False))
    for env in (with_arm, without):
        env.reset(seed=0)
    shown, left = with_arm.points_by_part(), without.points_by_part()
    assert shown["arm"] > 1000
    assert left == {part: count for part, count in shown.items() if part != "arm"}
    with_arm.close(), without.close()


def test_a_goal_below_the_box_is_shown():
    """hand-insert's goal lies in a hole, below the table from which the box begins."""
    env = MetaWorldPointCloudEnv("hand-insert", num_points=512, frame="world")
    cloud = env.reset(seed=1)[0]["point_cloud"]
    goal, floor = env.expert_state[-3:], views("hand-insert")["workspace"].crop[0][2]
    below = cloud[(cloud != 0).any(axis=1) & (cloud[:, 2] < floor)]
    assert len(below) > 3
    np.testing.assert_allclose(np.linalg.norm(below - goal, axis=1), 0.02, atol=0.002)
    env.close()


def test_options_replace_single_values_of_a_view():
    known = views("reach")
    changed = options_of_view(known, "workspace", num_points=12, camera_size=None, show_goal=False)
    assert (changed.num_points, changed.camera_size) == (12, known["workspace"].camera_size)
    assert changed.crop == known["workspace"].crop
    assert changed.show_goal is False
    # Another frame: its own box, since the view's is given in the view's frame.
    assert options_of_view(known, "workspace", frame="legacy").crop is None
    assert options_of_view(known, "workspace", frame="world").crop == known["workspace"].crop
    with pytest.raises(InputError, match=r"view: 'worspace' is not known. Did you mean 'workspace'"):
        options_of_view(known, "worspace")


def test_seen_from_the_hand_a_cloud_is_that_of_the_world_from_another_origin():
    from_hand, world = (MetaWorldPointCloudEnv("reach", frame=frame) for frame in ("hand", "world"))
    clouds = [env.reset(seed=4)[0]["point_cloud"] for env in (from_hand, world)]
    hand = world._data.body("hand").xpos
    padding = (clouds[1] == 0).all(axis=1)
    np.testing.assert_allclose(clouds[0][~padding] + hand, clouds[1][~padding], atol=1e-6)
    np.testing.assert_array_equal(clouds[0][padding], 0)
    from_hand.close(), world.close()


def test_a_frame_that_an_environment_does_not_have():
    with pytest.raises(InputError, match="frame: 'hand' is not known"):
        AdroitPointCloudEnv("door", frame="hand")


def test_the_papers_view_draws_markers_and_no_ball():
    env = MetaWorldPointCloudEnv("push", view="dp3", num_points=128 * 128)
    cloud = env.reset(seed=2)[0]["point_cloud"]
    assert env._goal() is None
    seen = env.points_by_part()
    assert seen["markers"] > 10
    assert seen["scenery"] > 1000
    # The marker of the goal stands at this episode's goal, already at the reset.
    goal = env.frame.rotation @ env.expert_state[-3:] + env.frame.translation
    assert (np.abs(np.linalg.norm(cloud - goal, axis=1) - 0.02) < 0.004).sum() > 3
    env.close()
