"""What a dataset will lack is said, or refused, before it is written; and how to get it."""

import json
import re

import numpy as np
import pytest
from make_stores import write_store, zip_store
from typer.testing import CliRunner

from lerobot_sdm.cli import main
from lerobot_sdm.datasets.convert.run import ConvertConfig, make_plan
from lerobot_sdm.errors import InputError


def store(folder, **shapes: tuple[int, ...]):
    arrays = {name: np.ones((12, *shape), np.float32) for name, shape in shapes.items()}
    return write_store(folder / "demo.zarr", arrays, [4, 12])


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        (
            {"action": (8, 7)},
            r"data/action has shape \(8, 7\) per row, and 'action' must be a vector.*action\[0\]=action",
        ),
        ({"left_action": (7,), "right_action": (7,)}, "--map left_action=action --map right_action=action"),
        ({"velocity": (7,)}, "Choose one with --map NAME=action; the arrays are "),
    ],
)
def test_no_action_is_refused_with_a_way_to_get_one(shapes, match, tmp_path):
    with pytest.raises(InputError, match=f"no array becomes 'action'.*{match}"):
        make_plan(ConvertConfig(store(tmp_path, state=(9,), point_cloud=(70, 3), **shapes), fps=10))


def test_no_observation_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no array becomes an observation.*data/state has shape \(2, 7\) per row"):
        make_plan(ConvertConfig(store(tmp_path, action=(4,), state=(2, 7)), fps=10))


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"point_cloud": (70, 3), "angles": (7,)}, ["'observation.state'.*--map NAME=observation.state.*angles"]),
        ({"point_cloud": (70, 3), "state": (2, 7)}, [r"data/state has shape \(2, 7\) per row.*must be a vector"]),
        (
            {"point_cloud": (70, 3), "joint_state": (7,), "hand_state": (2,)},
            ["--map hand_state=observation.state --map joint_state=observation.state"],
        ),
        ({"state": (9,), "point_cloud": (4, 70, 3)}, [r"data/point_cloud has shape \(4, 70, 3\) per row"]),
        ({"state": (9,), "point_cloud": (70, 3)}, []),
        ({"state": (9,)}, ["observation.point_cloud', a picture or 'observation.environment_state'"]),
    ],
)
def test_what_policies_need_and_will_not_find(shapes, said, tmp_path):
    found = make_plan(ConvertConfig(store(tmp_path, action=(4,), **shapes), fps=10)).facts.get("lacks", [])
    assert len(found) == len(said)
    for sentence, pattern in zip(found, said, strict=True):
        assert re.search(pattern, sentence), sentence


def test_the_command_says_it_and_so_does_the_card(tmp_path):
    source = store(tmp_path, action=(4,), point_cloud=(70, 3), angles=(7,))
    arguments = ["convert", str(source), "--fps=10", f"--root={tmp_path / 'out'}", "--workers=1"]
    result = CliRunner().invoke(main.app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "Note: no array becomes 'observation.state'" in result.output
    assert "no array becomes 'observation.state'" in (tmp_path / "out/README.md").read_text()


def test_a_store_of_umi(tmp_path):
    """Pictures in a codec that is not read, and poses in the place of actions: each message leads on, to a dataset."""
    rng = np.random.default_rng(0)
    sizes = {"eef_pos": 3, "eef_rot_axis_angle": 3, "gripper_width": 1, "demo_start_pose": 6, "demo_end_pose": 6}
    arrays = {f"robot0_{name}": rng.random((12, size)).astype(np.float32) for name, size in sizes.items()}
    arrays["camera0_rgb"] = rng.integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    source = write_store(tmp_path / "dataset.zarr", arrays, [4, 12])
    metadata = source / "data/camera0_rgb/.zarray"
    codec = {"id": "imagecodecs_jpegxl", "effort": None, "level": 99}
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"compressor": codec}))
    source = zip_store(source, tmp_path / "dataset.zarr.zip")

    def plan(*mapping: str, skip: tuple[str, ...] = ()):
        return make_plan(ConvertConfig(source, fps=60, mapping=mapping, skip=skip))

    with pytest.raises(InputError, match=r"codec 'imagecodecs_jpegxl'.*Exclude the array with --skip camera0_rgb"):
        plan()
    with pytest.raises(InputError, match=r"no array becomes 'action'.*robot0_eef_pos, robot0_eef_rot_axis_angle"):
        plan(skip=("camera0_rgb",))
    pose = ("robot0_eef_pos", "robot0_eef_rot_axis_angle", "robot0_gripper_width")
    mapping = [f"{name}={key}" for key in ("action", "observation.state") for name in pose]
    columns = {column.key: column.shape for column in plan(*mapping, skip=("camera0_rgb",)).columns}
    assert columns == {
        "action": (7,),
        "observation.state": (7,),
        "robot0_demo_start_pose": (6,),
        "robot0_demo_end_pose": (6,),
    }
