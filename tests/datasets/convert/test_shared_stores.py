"""Real stores convert and read back equal: recordings in DP3's layout, and Diffusion Policy's Push-T."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from make_stores import write_store

from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.datasets.convert.layouts import LAYOUTS
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan

SHARED = Path(__file__).parents[3] / "../shared/data"
STORES = {
    "zarr/metaworld_drawer-open_expert.zarr": ("metaworld", "drawer-open"),
    "zarr/adroit_hammer_expert.zarr": ("adroit-hammer", "hammer"),
    "pusht/pusht_cchi_v7_replay.zarr": ("pusht", "Push the T-shaped block onto the target"),
}
COMMON = {"observation.state": "state", "observation.point_cloud": "point_cloud", "action": "action"}
COLUMNS = {
    "metaworld": COMMON | {"full_state": "full_state"},
    "adroit-hammer": COMMON,
    "pusht": {"full_state": "state", "action": "action", "keypoint": "keypoint", "n_contacts": "n_contacts"},
}

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="needs the shared demonstration stores")


def first_episodes(path: Path, count: int, target: Path) -> Path:
    """A store of the first episodes of another, so that a test need not convert all of it."""
    root = zarr.open_group(path, mode="r")
    ends = root["meta/episode_ends"][:count]
    return write_store(target, {name: array[: ends[-1]] for name, array in root["data"].arrays()}, ends)


@pytest.mark.parametrize("name", STORES)
def test_is_recognized(name):
    plan = make_plan(ConvertConfig(SHARED / name))
    assert (plan.facts["layout"], plan.task) == STORES[name]
    assert plan.fps == LAYOUTS[STORES[name][0]].fps
    assert plan.frames == plan.store.arrays["action"].shape[0]


@pytest.mark.parametrize("name", STORES)
def test_converts_and_reads_back_equal(name, tmp_path):
    source = SHARED / name
    if STORES[name][0] == "pusht":
        source = first_episodes(source, 3, tmp_path / "pusht.zarr")
    root = convert(ConvertConfig(source, root=tmp_path / "out"))
    data = zarr.open_group(source, mode="r")["data"]
    dataset = CachedLeRobotDataset("local/shared", root=root, video_backend="pyav")
    assert dataset.is_cached
    whole = dataset.__getitems__(range(len(dataset))).whole
    for key, array in COLUMNS[STORES[name][0]].items():
        expected = data[array][:]
        np.testing.assert_array_equal(whole[key].numpy().reshape(expected.shape), expected, err_msg=key)
    np.testing.assert_array_equal(
        (whole["observation.image"] * 255).round().numpy(), data["img"][:].transpose(0, 3, 1, 2)
    )
    if "depth" in data:
        np.testing.assert_array_equal(whole["observation.depth"][:, 0].numpy(), data["depth"][:] * np.float32(1000))
    else:
        np.testing.assert_array_equal(whole["observation.state"].numpy(), data["state"][:, :2])
