"""The script that makes a moving picture of a video."""

import numpy as np
import pytest
from example_scripts import load_script
from lerobot.utils.io_utils import write_video
from PIL import Image

moving_picture = load_script("moving_picture.py").moving_picture


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Two seconds at 20 frames a second, the left half growing brighter."""
    path = tmp_path_factory.mktemp("video") / "x.mp4"
    frames = np.zeros((40, 64, 128, 3), np.uint8)
    frames[:, :, :64] = 6 * np.arange(40)[:, None, None, None]
    write_video(path, list(frames), 20)
    return path


def test_its_pictures_are_those_of_the_video(video, tmp_path):
    output = tmp_path / "x.gif"
    assert moving_picture(video, output, width=64, fps=10, start=0.5, seconds=1) == 10
    with Image.open(output) as picture:
        assert (picture.size, picture.n_frames, picture.info["duration"]) == ((64, 32), 10, 100)
        brightness = []
        for index in range(10):
            picture.seek(index)
            pixels = np.asarray(picture.convert("L"))
            brightness.append(pixels[:, :28].mean())
            assert pixels[:, 36:].mean() < 12
    # Frames 10, 12, ... 28 of the video, up to the palette's colors.
    np.testing.assert_allclose(brightness, 6 * np.arange(10, 30, 2), atol=12)
    assert [path.name for path in tmp_path.iterdir()] == ["x.gif"]


def test_it_is_as_fast_as_the_video_where_rates_do_not_divide(video, tmp_path):
    """Every second frame of 20 a second, though 8 were asked for: each stands for a tenth of a second."""
    assert moving_picture(video, tmp_path / "x.gif", width=64, fps=8, start=0, seconds=None) == 20
    with Image.open(tmp_path / "x.gif") as picture:
        assert picture.info["duration"] == 100


def test_nothing_left_to_show(video, tmp_path):
    with pytest.raises(ValueError, match=r"has 2\.0 s, none of them behind second 3"):
        moving_picture(video, tmp_path / "x.gif", width=64, fps=10, start=3, seconds=None)
    assert not list(tmp_path.iterdir())
