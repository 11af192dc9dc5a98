"""RoboTwin's HDF5 episodes: the same dataset as from the zarr store that its own script makes of them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from make_stores import stored_columns
from robotwin_files import JOINTS, LENGTHS, POINTS, episodes, write_hdf5, write_zarr
from typer.testing import CliRunner

from lerobot_sdm.cli import main
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan
from lerobot_sdm.errors import InputError
from lerobot_sdm.viewing.sources import open_episode

h5py = pytest.importorskip("h5py", reason="needs h5py, the extra hdf5")


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_hdf5(tmp_path / "beat_block_hammer/demo_clean", episodes())


def test_hdf5_and_zarr_give_the_same_dataset(folder, tmp_path):
    store = write_zarr(tmp_path / "beat_block_hammer-demo_clean-3.zarr", episodes())
    from_files = stored_columns(convert(ConvertConfig(folder, root=tmp_path / "a")))
    from_store = stored_columns(convert(ConvertConfig(store, root=tmp_path / "b", layout="robotwin")))
    assert from_files.keys() == from_store.keys()
    for key, values in from_store.items():
        # The store rounds joints to single precision.
        np.testing.assert_array_equal(np.float32(from_files[key]), np.float32(values), err_msg=key)
    made = episodes()
    np.testing.assert_array_equal(from_files["observation.state"], np.concatenate([e["vector"][:-1] for e in made]))
    np.testing.assert_array_equal(from_files["action"], np.concatenate([e["vector"][1:] for e in made]))
    cloud = np.float32(from_files["observation.point_cloud"])
    expected = np.concatenate([episode["pointcloud"][:-1] for episode in made])
    np.testing.assert_array_equal(cloud[..., :3], expected[..., :3])
    np.testing.assert_array_equal(cloud[..., 3:], expected[..., 3:] * 255)


@pytest.mark.parametrize("given", ["", "data", "data/episode1.hdf5"])
def test_a_folder_its_data_or_a_single_file(folder, given, tmp_path):
    plan = make_plan(ConvertConfig(folder / given))
    lengths = (LENGTHS[1],) if given.endswith("hdf5") else LENGTHS
    assert np.diff(plan.ends, prepend=0).tolist() == [length - 1 for length in lengths]
    assert {column.key: column.shape for column in plan.columns} == {
        "action": (JOINTS,),
        "observation.state": (JOINTS,),
        "observation.point_cloud": (POINTS, 6),
    }
    assert plan.store.name == "beat_block_hammer-demo_clean"
    assert (plan.facts["layout"], plan.fps) == ("robotwin", 17)


def test_the_command_names_the_dataset_after_task_and_configuration(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main.app, ["convert", str(folder), "--workers=2"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    root = tmp_path / "data/beat_block_hammer-demo_clean"
    told = json.loads((root / "meta/provenance.json").read_text())
    assert told["converted_from"]["format"] == "HDF5, a file for each episode"
    assert len(told["converted_from"]["sha256"]) == 64
    assert "the joint vector of the next frame" in told["notes"]
    assert str(tmp_path) not in (root / "README.md").read_text()


def test_poses_and_grippers_of_the_next_frame_can_be_actions(folder, tmp_path):
    sides = ("left", "right")
    poses = [f"{part}={key}" for part, key in (("next/endpose/{}", "action"), ("endpose/{}", "observation.state"))]
    mapping = tuple(
        text.format(f"{side}_{kind}") for text in poses for side in sides for kind in ("endpose", "gripper")
    )
    root = convert(ConvertConfig(folder, root=tmp_path / "out", mapping=mapping, skip=("state", "action")))
    stored, made = stored_columns(root), episodes()
    action, state = np.array(stored["action"]), np.array(stored["observation.state"])
    assert action.shape == state.shape == (sum(LENGTHS) - len(LENGTHS), 16)
    np.testing.assert_array_equal(action[:, 7], np.concatenate([e["vector"][1:, 6] for e in made]))
    np.testing.assert_array_equal(state[:, 15], np.concatenate([e["vector"][:-1, 13] for e in made]))


def test_an_episode_can_be_looked_at(folder):
    episode = open_episode(str(folder), 2, None, None)
    assert (episode.length, episode.fps) == (LENGTHS[2] - 1, 17)
    np.testing.assert_array_equal(episode.signals["action"].values, episodes()[2]["vector"][1:])
    assert episode.read(3)["observation.point_cloud"].shape == (POINTS, 6)


def test_demonstrations_without_clouds(tmp_path):
    folder = write_hdf5(tmp_path / "task/demo", episodes(), clouds=False)
    with pytest.raises(
        InputError, match=r"contain no clouds.*`pointcloud: true` under `data_type`.*--skip point_cloud"
    ):
        make_plan(ConvertConfig(folder))
    plan = make_plan(ConvertConfig(folder, skip=("point_cloud",)))
    assert {column.key for column in plan.columns} == {"action", "observation.state"}
    assert "point_cloud" in open_episode(str(folder), 0, None, None).notes[0]


def edited(folder: Path, change) -> None:
    with h5py.File(folder / "data/episode1.hdf5", "r+") as file:
        change(file)


def replaced(name: str, values):
    def change(file):
        del file[name]
        if values is not None:
            file[name] = values

    return change


def external(file):
    del file["pointcloud"]
    file.create_dataset("pointcloud", (4, POINTS, 6), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def chunked_in_part(file):
    del file["pointcloud"]
    values = file.create_dataset("pointcloud", (4, POINTS, 6), "f4", chunks=(1, POINTS, 6))
    values[:2] = 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (replaced("pointcloud", h5py.ExternalLink("episode0.hdf5", "/pointcloud")), "is a link, possibly to another"),
        (replaced("pointcloud", h5py.SoftLink("/joint_action")), "is a link"),
        (external, "are in another file, which is not opened"),
        (chunked_in_part, r"episode1\.hdf5: 2 of 4 chunks of 'pointcloud' is missing"),
        (replaced("pointcloud", np.ones((4, 60, 6), "f4")), r"'pointcloud' differs.*pcd_down_sample_num"),
        (
            replaced("pointcloud", np.ones((3, POINTS, 6), "f4")),
            "'pointcloud' has 3 frames and 'joint_action/vector' 4",
        ),
        (replaced("joint_action/vector", None), "has no numeric 'joint_action/vector'"),
        (replaced("joint_action/vector", np.full((4, JOINTS), np.nan)), r"data/state\[5, 0\] is nan"),
        (replaced("joint_action", np.ones(3)), "has no numeric 'joint_action/vector'"),
        (replaced("endpose/left_endpose", None), "'endpose/left_endpose' differs.*episode1.hdf5 has none"),
    ],
)
def test_files_that_cannot_be_trusted_or_do_not_belong_together(change, match, folder, tmp_path):
    edited(folder, change)
    with pytest.raises(InputError, match=match):
        convert(ConvertConfig(folder, root=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_files_that_were_cut(keep, folder, tmp_path):
    file = folder / "data/episode2.hdf5"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"episode2\.hdf5: not a complete HDF5 file"):
        convert(ConvertConfig(folder, root=tmp_path / "out"))


def test_an_episode_that_was_taken_out_is_not_missed(folder):
    (folder / "data/episode1.hdf5").unlink()
    assert len(make_plan(ConvertConfig(folder)).ends) == 2


def test_without_what_reads_hdf5(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"h5py, which reads HDF5 files, is not installed.*--extra hdf5"):
        make_plan(ConvertConfig(folder))


def test_nothing_is_written_into_the_demonstrations(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="is inside the store demo_clean"):
        ConvertConfig(Path()).checked()
    shutil.rmtree(folder / "data")
    with pytest.raises(InputError, match="not a demonstration store"):
        make_plan(ConvertConfig(folder))
