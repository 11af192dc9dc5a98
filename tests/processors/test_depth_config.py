"""What can be wrong with the description of a depth camera, and what its messages say."""

import json
from pathlib import Path

import draccus
import numpy as np
import pytest
import yaml

from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import depth_config, read_depth_config

KEY = "observation.images.front_depth"
CAMERA = {
    "depth_key": KEY,
    "width": 640,
    "height": 480,
    "intrinsics": [600, 600, 320, 240],
    "extrinsics": np.eye(4).tolist(),
}
MIRRORED = np.diag([1.0, 1, -1, 1]).tolist()
SCALED = np.diag([1.0, 1, 2, 1]).tolist()
FAR_AWAY = np.array([[1, 0, 0, 700.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]).tolist()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"width": 0}, "width=0"),
        ({"stride": 0}, "stride=0"),
        ({"intrinsics": [0, 600, 320, 240]}, "fx, fy, cx, cy"),
        ({"intrinsics": [600, 600]}, "intrinsics"),
        ({"extrinsics": np.eye(3).tolist()}, "extrinsics"),
        ({"extrinsics": MIRRORED}, "mirrors"),
        ({"extrinsics": SCALED}, "no rotation"),
        ({"extrinsics": FAR_AWAY}, "millimeters"),
        ({"extrinsics": np.full((4, 4), np.nan).tolist()}, "finite"),
        ({"color_intrinsics": [1, -1, 0, 0]}, "color_intrinsics"),
        ({"depth_to_color": SCALED}, "depth_to_color"),
        ({"convention": "opncv"}, "Did you mean 'opencv'"),
        ({"depth_scale": 0}, "0.001 for millimeters"),
        ({"near": 2.0, "far": 1.0}, "near=2.0, far=1.0"),
        ({"near": -1.0}, "0 <= near"),
        ({"widht": 640}, "widht"),
    ],
)
def test_a_wrong_camera_is_refused_by_name(changes, says):
    with pytest.raises(InputError) as caught:
        depth_config({"cameras": [CAMERA | changes]})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "cameras"),
        ({"cameras": []}, "at least one camera"),
        ({"cameras": [CAMERA, CAMERA]}, "twice"),
        ({"cameras": [CAMERA | {"color_key": "c"}, CAMERA | {"depth_key": "b"}]}, "color_key"),
        ({"cameras": [CAMERA], "crop": [[0, 0, 0], [1, 0, 1]]}, "minimum below"),
        ({"cameras": [CAMERA], "crop": [[0, 0, 0]]}, "crop"),
        ({"cameras": [CAMERA], "num_points": 0}, "num_points=0"),
        ({"cameras": [{k: v for k, v in CAMERA.items() if k != "intrinsics"}]}, "intrinsics"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(fields, says):
    with pytest.raises(InputError) as caught:
        depth_config(fields)
    assert says in str(caught.value)


@pytest.mark.parametrize(("suffix", "write"), [("yaml", yaml.safe_dump), ("json", json.dumps)])
def test_files_say_the_same_as_fields(tmp_path, suffix, write):
    fields = {"cameras": [CAMERA], "crop": [[0, 0, 0], [1, 1, 1]], "num_points": 8}
    file = tmp_path / f"cameras.{suffix}"
    file.write_text(write(fields))
    assert read_depth_config(file) == depth_config(fields)
    assert depth_config(draccus.encode(depth_config(fields))) == depth_config(fields)


@pytest.mark.parametrize("text", [None, "cameras: [", "3", ""])
def test_a_file_that_holds_no_configuration(tmp_path, text):
    file = tmp_path / "cameras.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=r"cameras\.yaml"):
        read_depth_config(file)


def test_images_are_compared_with_what_a_dataset_offers():
    config = depth_config({"cameras": [CAMERA]})
    for shape in ((1, 480, 640), (480, 640, 1), (480, 640)):
        config.check_shapes({KEY: shape})
    with pytest.raises(InputError, match=r"\(3, 480, 640\)"):
        config.check_shapes({KEY: (3, 480, 640)})
    with pytest.raises(InputError, match="Did you mean 'observation"):
        config.check_shapes({"observation.images.front_dept": (1, 480, 640)})


def test_the_crop_gives_the_statistics_of_clouds():
    config = {"cameras": [CAMERA | {"color_key": "c"}], "crop": [[0, -1, 0], [1, 1, 2]]}
    statistics = depth_config(config).statistics()
    np.testing.assert_array_equal(statistics["min"], [0, -1, 0, 0, 0, 0])
    np.testing.assert_array_equal(statistics["max"], [1, 1, 2, 255, 255, 255])
    with pytest.raises(InputError, match="crop"):
        depth_config({"cameras": [CAMERA]}).statistics()
    with pytest.raises(InputError, match=r"depth_to_cloud: crop=.*must be finite"):
        depth_config({"cameras": [CAMERA], "crop": [[0, -1, 0], [1, 1, float("inf")]]}).statistics()


def test_the_file_in_the_documentation_works():
    page = (Path(__file__).parents[2] / "docs" / "depth_cameras.md").read_text()
    config = depth_config(yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0]))
    assert config.num_points == 1024
    assert config.cameras[0].depth_key == "observation.images.front_depth"
