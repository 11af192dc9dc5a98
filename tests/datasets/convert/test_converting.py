"""From a store to a dataset: nothing changes on the way, nothing is lost when something interrupts."""

import dataclasses
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import filelock
import numpy as np
import psutil
import pytest
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from make_stores import LENGTHS, demonstrations, stored_columns, write_store, zip_store
from warm_start import start_forked

from lerobot_sdm.datasets.convert.mapping import Choices
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan
from lerobot_sdm.datasets.convert.verify import Extent, _check_stats, verify_block
from lerobot_sdm.datasets.write import PROVENANCE
from lerobot_sdm.errors import InputError

pytest_plugins = ("warm_start",)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_store(tmp_path_factory.mktemp("stores") / "demo.zarr", *demonstrations())


def config_for(source: Path, root: Path, **options) -> ConvertConfig:
    return ConvertConfig(**{"source": source, "root": root, "fps": 20} | options)


def in_blocks_of_one_episode(config: ConvertConfig):
    return dataclasses.replace(make_plan(config), block_bytes=1)


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory) -> Path:
    config = config_for(source, tmp_path_factory.mktemp("converted") / "demo")
    return convert(config, in_blocks_of_one_episode(config))


def test_lerobot_reads_what_the_store_holds(converted):
    arrays, ends = demonstrations()
    dataset = LeRobotDataset("local/demo", root=converted, video_backend="pyav")
    assert (dataset.fps, dataset.num_episodes, len(dataset)) == (20, len(LENGTHS), sum(LENGTHS))
    assert list(dataset.meta.episodes["dataset_to_index"]) == list(ends)
    for row in range(len(dataset)):
        item = dataset[row]
        episode = int(np.searchsorted(ends, row, side="right"))
        assert item["episode_index"] == episode
        assert item["frame_index"] == row - (ends[episode - 1] if episode else 0)
        assert item["timestamp"] == pytest.approx(item["frame_index"] / 20)
        assert item["task"] == "demo"
        for key, array in (
            ("action", "action"),
            ("observation.state", "state"),
            ("observation.point_cloud", "point_cloud"),
            ("full_state", "full_state"),
        ):
            np.testing.assert_array_equal(item[key], arrays[array][row], err_msg=key)
        np.testing.assert_array_equal((item["observation.image"] * 255).round(), arrays["img"][row].transpose(2, 0, 1))
        # LeRobot hands depth out in millimeters.
        assert torch.equal(item["observation.depth"], torch.from_numpy(arrays["depth"][row][None]) * 1000)


def test_statistics_are_those_of_lerobots_own_writer(converted, tmp_path):
    arrays, ends = demonstrations()
    ours = LeRobotDataset("local/demo", root=converted, video_backend="pyav").meta
    features = {key: ours.features[key] for key in ("action", "observation.state", "observation.image")}
    theirs = LeRobotDataset.create("local/theirs", 20, features, root=tmp_path / "theirs", use_videos=False)
    for start, stop in zip([0, *ends], ends, strict=False):
        for row in range(start, stop):
            theirs.add_frame(
                {
                    "action": arrays["action"][row],
                    "observation.state": arrays["state"][row],
                    "observation.image": arrays["img"][row],
                    "task": "demo",
                }
            )
        theirs.save_episode()
    theirs.finalize()
    for key, expected in theirs.meta.stats.items():
        assert ours.stats[key].keys() == expected.keys()
        for name, value in expected.items():
            assert ours.stats[key][name].shape == value.shape, (key, name)
            np.testing.assert_allclose(ours.stats[key][name], value, rtol=1e-5, atol=1e-6, err_msg=f"{key} {name}")


def test_statistics_of_clouds_are_per_channel(converted):
    cloud = demonstrations()[0]["point_cloud"].reshape(-1, 6)
    stats = LeRobotDataset("local/demo", root=converted, video_backend="pyav").meta.stats["observation.point_cloud"]
    np.testing.assert_array_equal(stats["min"], cloud.min(axis=0))
    np.testing.assert_array_equal(stats["max"], cloud.max(axis=0))
    np.testing.assert_allclose(stats["mean"], cloud.mean(axis=0), rtol=1e-5)
    assert stats["count"] == [sum(LENGTHS)]


def test_provenance_and_card_say_where_it_comes_from(source, tmp_path):
    choices = Choices(images="skip", depth="skip")
    config = config_for(source, tmp_path / "out", frame="base of the arm", unit="mm", camera="D435", choices=choices)
    root = convert(config)
    told = json.loads((root / PROVENANCE).read_text())
    assert told["converted_from"]["name"] == "demo"
    assert told["converted_from"]["episodes"] == len(LENGTHS)
    assert len(told["converted_from"]["sha256"]) == 64
    cloud = told["clouds"]["observation.point_cloud"]
    assert (cloud["frame"], cloud["unit"], cloud["camera"], cloud["crop"]) == (
        "base of the arm",
        "mm",
        "D435",
        "not stated",
    )
    assert (cloud["points"], cloud["colors"]) == (70, "0 to 255")
    info = json.loads((root / "meta/info.json").read_text())
    assert info["features"]["observation.point_cloud"]["info"] == cloud
    card = (root / "README.md").read_text()
    for said in (told["converted_from"]["sha256"], "base of the arm", "D435", "`data/point_cloud`"):
        assert said in card
    # Nothing of this machine.
    assert str(tmp_path) not in card + json.dumps(told)
    assert str(source.parent) not in card + json.dumps(told)


@pytest.mark.parametrize("kind", ["v3", "zip", "zip with a folder", "sharded"])
def test_every_kind_of_store_gives_the_same(source, converted, tmp_path, kind):
    arrays, ends = demonstrations()
    if kind == "v3":
        path = write_store(tmp_path / "demo.zarr", arrays, ends, zarr_format=3, chunk_rows=3)
    elif kind == "sharded":
        path = write_store(tmp_path / "demo.zarr", {}, ends, zarr_format=3)
        import zarr

        for name, values in arrays.items():
            inner, outer = ((rows, *values.shape[1:]) for rows in (2, 6))
            zarr.open_group(path).create_array(f"data/{name}", data=values, chunks=inner, shards=outer)
    else:
        prefix = "" if kind == "zip" else "downloads/demo.zarr/"
        path = zip_store(source, tmp_path / "demo.zarr.zip", prefix)
    root = convert(config_for(path, tmp_path / "out"))
    assert stored_columns(root) == stored_columns(converted)
    hashes = [json.loads((folder / PROVENANCE).read_text())["converted_from"]["sha256"] for folder in (root, converted)]
    # A zip file of a folder is the same store.
    assert (hashes[0] == hashes[1]) == kind.startswith("zip")


def test_float64_clouds_keep_every_bit(tmp_path):
    """RealDex stores clouds and depth as float64."""
    arrays, ends = demonstrations()
    arrays["point_cloud"] = arrays["point_cloud"].astype(np.float64) * np.pi
    arrays["point_cloud"][..., 3:] = 100.5
    arrays["depth"] = arrays["depth"].astype(np.float64) / 3
    root = convert(config_for(write_store(tmp_path / "real.zarr", arrays, ends), tmp_path / "out"))
    columns = stored_columns(root)
    assert np.array_equal(np.array(columns["observation.point_cloud"]), arrays["point_cloud"])
    assert np.array_equal(np.array(columns["observation.depth"]), arrays["depth"])


def test_videos_show_the_same_pictures(tmp_path):
    lengths = (6, 9)
    arrays, ends = demonstrations(lengths)
    # One smooth picture for each frame: brighter and brighter, so that a frame out of place shows.
    ramp = np.linspace(0, 60, 64).astype(np.uint8)
    arrays["img"] = np.broadcast_to(
        ramp[:, None, None] + np.arange(0, 150, 10, dtype=np.uint8)[:, None, None, None], (15, 64, 64, 3)
    )
    source = write_store(tmp_path / "demo.zarr", arrays, ends)
    root = convert(config_for(source, tmp_path / "out", choices=Choices(images="video")))
    dataset = LeRobotDataset("local/demo", root=root, video_backend="pyav")
    assert dataset.meta.video_keys == ["observation.image"]
    for row in range(15):
        picture = dataset[row]["observation.image"].numpy().transpose(1, 2, 0) * 255
        assert abs(picture.mean() - arrays["img"][row].mean()) < 4
    assert not list(root.rglob("*.png"))


def test_two_processes_write_the_same(source, converted, tmp_path):
    config = config_for(source, tmp_path / "demo", workers=2)
    root = convert(config, in_blocks_of_one_episode(config))
    assert stored_columns(root) == stored_columns(converted)
    assert (root / "meta/stats.json").read_bytes() == (converted / "meta/stats.json").read_bytes()


def test_existing_datasets_are_left_alone(source, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"--root=.*exists already"):
        convert(config_for(source, tmp_path / "out"))
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]


def test_a_full_disk_loses_nothing(tmp_path):
    """The system refuses large files, as it refuses any once the disk is full; later it does not."""
    arrays, ends = demonstrations((4, 60, 3))
    config = config_for(write_store(tmp_path / "demo.zarr", arrays, ends), tmp_path / "out")
    plan = in_blocks_of_one_episode(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        with pytest.raises(InputError, match="disk is full"):
            convert(config, plan)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not config.root.exists()
    (kept,) = tmp_path.glob(".out.converting-*/block-00000/data.parquet")
    inode = kept.stat().st_ino
    root = convert(config, plan)
    assert (root / "data/chunk-000/file-000.parquet").stat().st_ino == inode
    assert np.array_equal(stored_columns(root)["action"], arrays["action"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.zarr", "out"]


SCRIPT = """
import dataclasses, sys
from pathlib import Path
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan
if __name__ == "__main__":  # Workers import the script again.
    config = ConvertConfig(Path(sys.argv[1]), root=Path(sys.argv[2]), fps=20, workers=2)
    convert(config, dataclasses.replace(make_plan(config), block_bytes=1))
"""


def test_a_killed_conversion_goes_on(tmp_path, tmp_path_factory, warm):
    arrays, ends = demonstrations((3,) * 20)
    source = write_store(tmp_path / "demo.zarr", arrays, ends)
    script = tmp_path_factory.mktemp("script") / "convert.py"
    script.write_text(SCRIPT)
    process = start_forked(warm, sys.executable, str(script), str(source), str(tmp_path / "out"))
    deadline = time.monotonic() + 120
    while len(blocks := list(tmp_path.glob(".out.converting-*/block-?????"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    helpers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(helpers, timeout=20)
    assert alive == []
    assert not (tmp_path / "out").exists()
    inodes = {(block / "data.parquet").stat().st_ino for block in blocks}

    config = config_for(source, tmp_path / "out")
    root = convert(config, in_blocks_of_one_episode(config))
    assert inodes <= {path.stat().st_ino for path in root.glob("data/*/*.parquet")}
    assert np.array_equal(stored_columns(root)["action"], arrays["action"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.zarr", "out"]


def test_blocks_of_another_store_are_not_taken(source, tmp_path):
    """The store changed after an interruption: its new content decides."""
    arrays, ends = demonstrations()
    changing = write_store(tmp_path / "demo.zarr", arrays, ends)
    config = config_for(changing, tmp_path / "out")
    plan = make_plan(config)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(InputError, match="disk is full"):
            convert(config, plan)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    arrays["action"] += 1
    import zarr

    zarr.open_group(changing)["data/action"][:] = arrays["action"]
    assert np.array_equal(stored_columns(convert(config))["action"], arrays["action"])


def test_only_one_conversion_to_the_same_place(source, tmp_path):
    config = config_for(source, tmp_path / "out")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(InputError):
            convert(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (folder,) = tmp_path.glob(".out.converting-*")
    with filelock.FileLock(folder / "lock"), pytest.raises(InputError, match="another process"):
        convert(config)


def test_a_dataset_that_came_out_different_is_noticed(source, converted, tmp_path):
    """Comparing with another store of the same shape stands in for a write that went wrong."""
    arrays, ends = demonstrations()
    arrays["state"][-1, 3] = np.nextafter(arrays["state"][-1, 3], np.float32(np.inf))
    config = config_for(write_store(tmp_path / "other.zarr", arrays, ends), tmp_path / "out")
    plan = in_blocks_of_one_episode(config)
    *others, last = plan.blocks()
    for block in others:
        verify_block(plan, block, converted)
    with pytest.raises(RuntimeError, match=r"'observation.state' of episode 2 differs after writing"):
        verify_block(plan, last, converted)


@pytest.mark.parametrize("mean", [np.nan, np.inf, 2.1])
def test_statistics_that_came_out_different_are_noticed(tmp_path, mean):
    low, high = np.array([1.0]), np.array([3.0])
    stats = {"min": low, "max": high, "mean": np.array([2.0])}
    extent = Extent(low, high, np.array([8.0]), 4)
    _check_stats(tmp_path, "action", stats, extent)
    with pytest.raises(RuntimeError, match=r"statistics of 'action' .* do not match its values"):
        _check_stats(tmp_path, "action", stats | {"mean": np.array([mean])}, extent)
