"""Which array becomes which column, for the published layouts and for stores that nobody has seen."""

from pathlib import Path

import numpy as np
import pytest
from make_stores import stored_columns, write_store

from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.layouts import LAYOUTS, OTHER, find_layout
from lerobot_sdm.datasets.convert.mapping import Choices, columns_of, complete, parse
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan
from lerobot_sdm.datasets.convert.source import ArrayInfo

# As the generating scripts of DP3 and Diffusion Policy write them: array -> (shape of a row, type).
F4, F8, U1 = "float32", "float64", "uint8"
PUBLISHED = {
    "adroit-hammer": {
        "img": ((84, 84, 3), U1),
        "state": ((24,), F4),
        "point_cloud": ((512, 6), F4),
        "depth": ((84, 84), F4),
        "action": ((26,), F4),
    },
    "metaworld": {
        "img": ((128, 128, 3), U1),
        "state": ((9,), F4),
        "full_state": ((39,), F4),
        "point_cloud": ((1024, 6), F4),
        "depth": ((128, 128), F4),
        "action": ((4,), F4),
    },
    "dexart": {
        "img": ((84, 84, 3), U1),
        "state": ((32,), F4),
        "point_cloud": ((1024, 6), F4),
        "imagin_robot": ((96, 7), F4),
        "depth": ((84, 84), F4),
        "action": ((22,), F4),
    },
    "realdex": {
        "img": ((84, 84, 3), U1),
        "point_cloud": ((1024, 6), F8),
        "depth": ((84, 84), F8),
        "action": ((22,), F4),
        "state": ((22,), F4),
    },
    "pusht": {
        "img": ((96, 96, 3), F4),
        "state": ((5,), F4),
        "keypoint": ((9, 2), F4),
        "n_contacts": ((1,), F4),
        "action": ((2,), F4),
    },
}
PUBLISHED["robotwin"] = {"point_cloud": ((1024, 6), F8), "state": ((14,), F4), "action": ((14,), F4)}
PUBLISHED["adroit-door"] = PUBLISHED["adroit-hammer"] | {"action": ((28,), F4)}
PUBLISHED["adroit-pen"] = PUBLISHED["adroit-hammer"] | {"action": ((24,), F4)}
# A stereo rig with shapes and names that no layout knows.
PUBLISHED[OTHER] = {
    "camera_0": ((3, 60, 80), U1),
    "camera_1": ((3, 60, 80), U1),
    "wrist/depth_raw": ((60, 80), "uint16"),
    "scene": ((2048, 3), "float16"),
    "agent_pos": ((7,), F8),
    "action": ((7,), F8),
    "timestamp": ((), F8),
    "action_is_valid": ((), "bool"),
}
COMMON = {
    "img": "observation.image",
    "state": "observation.state",
    "point_cloud": "observation.point_cloud",
    "depth": "observation.depth",
    "action": "action",
}
EXPECTED = {
    "metaworld": COMMON | {"full_state": "full_state"},
    "robotwin": {name: COMMON[name] for name in ("point_cloud", "state", "action")},
    "dexart": COMMON | {"imagin_robot": "observation.imagin_robot"},
    "pusht": {
        "img": "observation.image",
        "state[:2]": "observation.state",
        "state": "full_state",
        "keypoint": "keypoint",
        "n_contacts": "n_contacts",
        "action": "action",
    },
    OTHER: {
        "camera_0": "observation.images.camera_0",
        "camera_1": "observation.images.camera_1",
        "wrist/depth_raw": "observation.depth",
        "scene": "observation.point_cloud",
        "agent_pos": "observation.state",
        "action": "action",
        "timestamp": "source.timestamp",
        "action_is_valid": "source.action_is_valid",
    },
}


def origin(column: Column) -> str:
    """A column's sources, in the notation of `--map`."""
    return " + ".join(part.origin for part in column.parts)


def infos(arrays: dict, rows: int = 10) -> dict[str, ArrayInfo]:
    return {name: ArrayInfo((rows, *shape), np.dtype(dtype)) for name, (shape, dtype) in arrays.items()}


def write_published(folder: Path, layout: str, rows: int = 6) -> tuple[Path, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(0, 256, (rows, *shape)).astype(dtype) for name, (shape, dtype) in PUBLISHED[layout].items()
    }
    return write_store(folder / f"{layout.partition('-')[0]}_thing_expert.zarr", arrays, [2, rows]), arrays


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_recognized_and_mapped(layout, tmp_path):
    source, _ = write_published(tmp_path, layout)
    known = LAYOUTS[layout]
    config = ConvertConfig(source, layout=None if known.guessed else layout, fps=known.fps or 7)
    plan = make_plan(config)
    assert plan.facts["layout"] == layout
    assert plan.fps == (known.fps or 7)
    assert plan.task == (known.task or "thing")
    assert {origin(column): column.key for column in plan.columns} == EXPECTED.get(layout, COMMON)
    cloud = plan.facts.get("clouds", {}).get("observation.point_cloud", {})
    if known.frame:
        assert cloud["frame"] == known.frame
        assert "not stated" not in cloud.values()
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_converts_without_loss(layout, tmp_path):
    source, arrays = write_published(tmp_path, layout)
    guessed = LAYOUTS[layout].guessed
    plain = Choices(images="skip", depth="array")
    config = ConvertConfig(source, root=tmp_path / "out", fps=7, layout=None if guessed else layout, choices=plain)
    columns = stored_columns(convert(config))
    for origin, key in EXPECTED.get(layout, COMMON).items():
        name, _, part = origin.partition("[")
        if "image" not in key:
            values = arrays[name][..., :2] if part else arrays[name]
            stored = np.array(columns[key], dtype=values.dtype)
            np.testing.assert_array_equal(stored.reshape(values.shape), values, err_msg=key)


def test_the_user_has_the_last_word():
    arrays = infos(PUBLISHED["metaworld"])
    given = parse(["full_state[3:-1]=observation.environment_state", "state=mine"], arrays)
    assert [tuple(entry) for entry in given] == [
        ("full_state", "observation.environment_state", (3, -1), None),
        ("state", "mine", (None, None), None),
    ]
    columns = columns_of(complete(given, arrays), arrays, Choices())
    assert {column.key: column.shape for column in columns if not column.is_picture} == {
        "action": (4,),
        "observation.environment_state": (35,),
        "observation.point_cloud": (1024, 6),
        "mine": (9,),
    }


def test_an_array_whose_column_is_taken_keeps_its_name():
    arrays = infos(PUBLISHED["metaworld"])
    entries = complete(parse(["full_state=observation.state"], arrays), arrays)
    assert dict(entry[:2] for entry in entries) == COMMON | {"full_state": "observation.state", "state": "state"}
    entries = complete(parse(["state=action"], arrays), arrays)
    assert dict(entry[:2] for entry in entries)["action"] == "source.action"


@pytest.mark.parametrize("names", [("obs/goal_points", "obs/point_cloud"), ("Goal", "PointCloud")])
def test_a_cloud_that_is_named_is_the_cloud(names):
    arrays = infos({"action": ((4,), F4), "state": ((2,), F4), **{name: ((512, 3), F4) for name in names}})
    keys = {entry.array: entry.key for entry in complete([], arrays)}
    assert keys[names[1]] == "observation.point_cloud"
    assert keys[names[0]] == names[0].replace("/", ".")


def test_depth_that_lerobot_has_no_image_for_stays_numbers():
    depth = {"action": ((4,), F4), "state": ((2,), F4), "depth": ((60, 80), F8), "flow": ((60, 80), F4)}
    arrays = infos(depth)
    columns = {origin(column): column for column in columns_of(complete([], arrays), arrays, Choices())}
    assert (columns["depth"].key, columns["depth"].kind, columns["depth"].dtype) == ("observation.depth", "values", F8)
    assert (columns["flow"].key, columns["flow"].kind) == ("flow", "values")


def test_an_unknown_store_is_no_layout():
    assert find_layout(None, {"action": (4,), "state": (9,)}) == OTHER
