"""From recorded depth images to a dataset of clouds, by the example script."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from depth_datasets import EPISODES, FRAMES, REPO_ID, write_depth_dataset
from depth_world import COLOR_KEY, DEPTH_KEY, SIZE, distance_to_surfaces
from example_scripts import load_script
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from PIL import Image
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.clouds import POINT_CLOUD_KEYS, ROBOT_CLOUD
from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import depth_config, read_depth_config
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep
from lerobot_sdm.processors.depth_to_cloud import DepthToCloud
from lerobot_sdm.viewing.sources import open_episode


@pytest.fixture(scope="module")
def script():
    return load_script("depth_to_clouds.py")


def run(script, source: Path, cameras: Path, output: Path, *options: str) -> None:
    paths = (f"--root={source}", f"--cameras={cameras}", f"--output={output}")
    script.main([f"--repo-id={REPO_ID}", *paths, *options])


def ball_of(frame: dict) -> np.ndarray:
    return np.array([*frame["observation.state"], 0.06])


@pytest.mark.parametrize(("video", "tolerance"), [(True, 4e-3), (False, 1.5e-3)])
def test_clouds_lie_on_the_surfaces_and_everything_else_is_kept(
    tmp_path, script, episodes, cameras_file, video, tolerance
):
    """LeRobot's depth videos have 4096 logarithmic levels up to 10 m: steps of 1 to 2 mm at the distances here."""
    source = write_depth_dataset(tmp_path / "depth", episodes, video)
    run(script, source, cameras_file, tmp_path / "clouds")
    dataset = CachedLeRobotDataset(f"{REPO_ID}-clouds", root=tmp_path / "clouds")
    assert dataset.is_cached
    assert set(dataset.features) & {DEPTH_KEY, COLOR_KEY} == set()
    assert (dataset.num_episodes, len(dataset)) == (EPISODES, EPISODES * FRAMES)
    for row in range(len(dataset)):
        frame, item = episodes[row // FRAMES][row % FRAMES], dataset[row]
        cloud = item["observation.point_cloud"].numpy()
        assert cloud.shape == (128, 6)
        points = cloud[(cloud != 0).any(axis=1)]
        assert len(points) > 60
        assert distance_to_surfaces(points[:, :3], ball_of(frame)).max() < tolerance
        np.testing.assert_array_equal(item["observation.state"], frame["observation.state"])
        np.testing.assert_array_equal(item["action"], frame["action"])
        assert item["task"] == "push"
    assert dataset.meta.stats["observation.point_cloud"]["max"].shape == (6,)
    facts = json.loads((tmp_path / "clouds/meta/provenance.json").read_text())
    assert depth_config(facts["depth_to_cloud"]) == read_depth_config(cameras_file)


def test_images_can_be_kept_and_work_can_be_shared(tmp_path, script, episodes, cameras_file):
    source = write_depth_dataset(tmp_path / "depth", episodes[:1], video=False)
    run(script, source, cameras_file, tmp_path / "clouds", "--images", "--workers=1")
    dataset = LeRobotDataset(f"{REPO_ID}-clouds", root=tmp_path / "clouds")
    exact = DepthToCloud(read_depth_config(cameras_file))
    for row, frame in enumerate(episodes[0]):
        item = dataset[row]
        np.testing.assert_array_equal((item[COLOR_KEY] * 255).round().byte().permute(1, 2, 0), frame[COLOR_KEY])
        expected = exact({DEPTH_KEY: frame[DEPTH_KEY][..., 0], COLOR_KEY: frame[COLOR_KEY]})
        np.testing.assert_array_equal(item["observation.point_cloud"], expected)


@pytest.mark.parametrize("video", [True, False])
def test_holes_in_a_recorded_depth_image_stay_holes(tmp_path, episodes, cameras_file, video):
    """A depth video cannot hold 0: it comes back as the encoder's smallest depth, which `near` leaves out."""
    frames = [dict(frame) for frame in episodes[0]]
    for frame in frames:
        frame[DEPTH_KEY] = frame[DEPTH_KEY].copy()
        frame[DEPTH_KEY][:16, :16] = 0
    dataset = LeRobotDataset(REPO_ID, root=write_depth_dataset(tmp_path / "depth", [frames], video))
    everything = replace(read_depth_config(cameras_file), crop=None, num_points=SIZE * SIZE)
    cloud = DepthToPointCloudStep.from_config(everything).observation(dataset[2])["observation.point_cloud"]
    assert int((cloud != 0).any(dim=1).sum()) == SIZE * SIZE - 16 * 16


def test_nothing_is_written_where_nothing_can_work(tmp_path, script, depth_dataset, cameras_file, capsys):
    (tmp_path / "taken").mkdir()
    with pytest.raises(SystemExit):
        run(script, depth_dataset, cameras_file, tmp_path / "taken")
    other = tmp_path / "other.yaml"
    other.write_text(cameras_file.read_text().replace("width: 64", "width: 32"))
    with pytest.raises(SystemExit):
        run(script, depth_dataset, other, tmp_path / "clouds")
    complaints = capsys.readouterr().err
    assert "exists already" in complaints
    assert DEPTH_KEY in complaints
    assert not list(tmp_path.glob("*clouds*"))
    assert not list((tmp_path / "taken").iterdir())


@pytest.mark.parametrize("key", [*POINT_CLOUD_KEYS, ROBOT_CLOUD])
def test_a_dataset_with_a_cloud_needs_no_cameras(tmp_path, depth_dataset, cameras_file, key):
    root = shutil.copytree(depth_dataset, tmp_path / "data")
    info = json.loads((root / "meta/info.json").read_text())
    info["features"][key] = {"dtype": "float32", "shape": [12, 3], "names": None}
    (root / "meta/info.json").write_text(json.dumps(info))
    for file in root.glob("data/*/*.parquet"):
        table = pq.read_table(file)
        clouds = pa.array([[[0.0] * 3] * 12] * len(table), pa.list_(pa.list_(pa.float32())))
        pq.write_table(table.append_column(key, clouds), file)
    assert key in open_episode(str(root), 0, None, None).clouds
    with pytest.raises(InputError, match=f"--cameras: .* already has the cloud '{key}'"):
        open_episode(str(root), 0, read_depth_config(cameras_file), None)


def test_the_cloud_can_be_looked_at_before_anything_is_converted(tmp_path, depth_dataset, cameras_file):
    """`lerobot-sdm view --cameras`: how a crop is found."""
    file = tmp_path / "sheet.png"
    done = CliRunner().invoke(app, ["view", str(depth_dataset), f"--cameras={cameras_file}", f"--png={file}"])
    assert done.exit_code == 0, done.output
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    red = (picture[..., 0] > 150) & (picture[..., 1:].max(axis=-1) < 60)
    assert red.sum() > 500  # the ball, in its image and in the cloud
    episode = open_episode(str(depth_dataset), 0, read_depth_config(cameras_file), None)
    assert episode.clouds == ("observation.point_cloud",)
    assert episode.crop == read_depth_config(cameras_file).crop
