"""What is read of an episode, from datasets and from stores."""

import numpy as np
import pytest
from plate import EPISODES, FPS, FRAMES, POINTS, values

from lerobot_sdm.errors import InputError
from lerobot_sdm.viewing.episode import without_padding
from lerobot_sdm.viewing.palette import Scene, depth_range
from lerobot_sdm.viewing.sources import open_episode


@pytest.mark.parametrize("kind", ["dataset", "store"])
def test_an_episode_is_what_was_recorded(kind, request):
    episode = open_episode(str(request.getfixturevalue(kind)), 1, None, FPS if kind == "store" else None)
    assert (episode.length, episode.fps) == (FRAMES, FPS)
    assert episode.clouds == ("observation.point_cloud",)
    assert episode.images == ("observation.image",)
    assert list(episode.signals)[:2] == ["action", "observation.state"]
    for index in (0, FRAMES - 1, 3):
        expected, frame = values(1, index), episode.read(index)
        np.testing.assert_array_equal(frame["observation.point_cloud"], expected["cloud"])
        np.testing.assert_array_equal(frame["observation.image"], expected["image"])
        np.testing.assert_array_equal(episode.signals["action"].values[index], expected["action"])
        np.testing.assert_array_equal(episode.signals["observation.state"].values[index], expected["state"])


def test_a_dataset_gives_names_task_and_further_signals(dataset):
    episode = open_episode(str(dataset), 0, None, None)
    assert episode.task == "slide"
    assert episode.signals["observation.state"].names == ("x", "y", "grip")
    assert episode.signals["action"].names[14] == "action 14"
    np.testing.assert_array_equal(episode.signals["next.success"].values[:, 0], np.arange(FRAMES) > 5)


def test_a_store_has_depth_in_meters_with_0_for_what_is_unknown(store):
    episode = open_episode(str(store), 0, None, None)
    depth = episode.read(0)["observation.depth"]
    assert depth[0, 0] == 0
    assert depth[-1, -1] == 2.0
    assert depth_range([depth])[1] == pytest.approx(3 * depth_range([depth])[0])


@pytest.mark.parametrize(
    ("number", "cameras", "says"), [(EPISODES, None, f"0 to {EPISODES - 1}"), (-1, None, "--episode=-1")]
)
@pytest.mark.parametrize("kind", ["dataset", "store"])
def test_an_episode_that_is_not_there(kind, number, cameras, says, request):
    with pytest.raises(InputError, match=says):
        open_episode(str(request.getfixturevalue(kind)), number, cameras, None)


def test_a_dataset_has_its_own_rate(dataset):
    with pytest.raises(InputError, match="--fps=12: a dataset has its own rate"):
        open_episode(str(dataset), 0, None, 12)


def test_what_is_no_source(tmp_path):
    with pytest.raises(InputError, match="not a folder, a file"):
        open_episode(str(tmp_path / "nothing"), 0, None, None)
    with pytest.raises(InputError, match=r"meta/episode_ends"):
        open_episode(str(tmp_path), 0, None, None)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text("{}")
    with pytest.raises(InputError, match=r"info\.json: 'codebase_version' is missing"):
        open_episode(str(tmp_path), 0, None, None)


def test_a_scene_leaves_padding_and_stray_points_out():
    cloud = values(0, 0)["cloud"]
    assert len(without_padding(cloud)) == POINTS - 8
    stray = np.repeat(without_padding(cloud), 20, axis=0)
    stray[0, :3] = 100
    scene = Scene.of([cloud, stray])
    assert (scene.high < 1.5).all()
    assert not scene.unit_colors
    assert (scene.colors(without_padding(cloud)) == [200, 100, 50]).all()
    # Everything lies at x > 0.5: the viewer stands where the origin is, and above.
    assert scene.eye()[0] < -0.5
    assert scene.eye()[2] > 0


def test_a_known_camera_is_where_the_viewer_stands():
    cloud = values(0, 0)["cloud"]
    unknown = Scene.of([cloud])
    camera = unknown.center + np.array([0, 3.0, 4.0])
    np.testing.assert_allclose(Scene.of([cloud], camera).eye(), [0, 0.6, 0.8])
    overhead = unknown.center + np.array([0, 0, 1.0])
    np.testing.assert_allclose(Scene.of([cloud], overhead).eye(), unknown.eye())


def test_colors_of_0_to_1_are_recognized_and_heights_stand_in_for_none():
    cloud = values(0, 0)["cloud"]
    unit = cloud * np.float32([1, 1, 1, 1 / 255, 1 / 255, 1 / 255])
    points = without_padding(unit)
    assert (Scene.of([unit]).colors(points) == [200, 100, 50]).all()
    plain = without_padding(cloud)[:, :3]
    colors = Scene.of([cloud[:, :3]]).colors(plain).astype(int)
    assert colors[plain[:, 2].argmax(), 0] > colors[plain[:, 2].argmin(), 0]  # viridis: yellow above violet


def test_an_episode_without_any_point_still_has_a_scene():
    scene = Scene.of([np.zeros((5, 3), dtype=np.float32)])
    assert np.isfinite([*scene.center, *scene.eye(), scene.size]).all()


def test_projection_keeps_lengths_at_right_angles_to_the_view():
    scene = Scene.of([values(0, 0)["cloud"]])
    places, nearness = scene.project(np.stack([scene.center, scene.center + scene.eye()]))
    np.testing.assert_allclose(places, 0, atol=1e-12)
    np.testing.assert_allclose(nearness, [0, 1], atol=1e-12)
    above, _ = scene.project(scene.center[None] + np.array([0, 0, 1]))
    assert above[0, 0] == pytest.approx(0, abs=1e-12)
    assert above[0, 1] == pytest.approx(np.sqrt(1 - scene.eye()[2] ** 2))
