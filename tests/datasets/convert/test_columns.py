"""What happens to values on the way: scaling by declared convention, thinning, encoding."""

import dataclasses

import numpy as np
import pytest
from lerobot.datasets.image_writer import image_array_to_pil_image
from make_stores import demonstrations, stored_columns, write_store

from lerobot_sdm.clouds.fps import farthest_point_sampling
from lerobot_sdm.datasets.convert.columns import Column, resample
from lerobot_sdm.datasets.convert.mapping import Choices
from lerobot_sdm.datasets.convert.parts import Part
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan

PICTURE = Column((Part("img"),), "observation.image", "image", (8, 6, 3), np.dtype("uint8"), colors=(0, 3))


def test_pictures_are_the_same_however_the_store_has_them():
    pictures = np.arange(2 * 8 * 6 * 3, dtype=np.uint8).reshape(2, 8, 6, 3)
    sources = {
        PICTURE: pictures,
        dataclasses.replace(PICTURE, channel_first=True): pictures.transpose(0, 3, 1, 2),
        dataclasses.replace(PICTURE, unit_colors=True): (pictures / 255).astype(np.float32),
        dataclasses.replace(PICTURE, parts=(Part("img", channels=(0, 3)),)): pictures.astype(np.float64),
    }
    for column, rows in sources.items():
        column.check({"img": rows}, 0, "store")
        values = column.values({"img": rows})
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, pictures)
        np.testing.assert_array_equal(column.decode(column.encode(values)), pictures)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_depth_survives_bit_for_bit(dtype):
    depth = (np.random.default_rng(0).uniform(0, 4, (3, 8, 6, 1)) * (1 if dtype == "float32" else 10_000)).astype(dtype)
    column = Column((Part("depth"),), "observation.depth", "depth", (8, 6, 1), np.dtype(dtype))
    decoded = column.decode(column.encode(depth))
    assert decoded.dtype == dtype
    assert decoded.tobytes() == depth.tobytes()
    # What LeRobot makes of a depth frame has the same mode.
    assert image_array_to_pil_image(depth[0]).mode == ("F" if dtype == "float32" else "I;16")


def test_colors_are_scaled_as_declared(tmp_path):
    arrays, ends = demonstrations()
    arrays["point_cloud"][..., 3:] /= 255
    source = write_store(tmp_path / "demo.zarr", arrays, ends)
    scaled = arrays["point_cloud"].copy()
    scaled[..., 3:] *= 255
    expected = {None: scaled, "0-1": scaled, "0-255": arrays["point_cloud"], "none": arrays["point_cloud"]}
    for number, (color_range, cloud) in enumerate(expected.items()):
        choices = Choices(images="skip", depth="skip", color_range=color_range)
        root = convert(ConvertConfig(source, root=tmp_path / str(number), fps=20, choices=choices))
        np.testing.assert_array_equal(np.float32(stored_columns(root)["observation.point_cloud"]), cloud)


def test_thinning_takes_the_farthest_points_and_no_padding():
    line = np.zeros((8, 6), np.float32)
    line[:5, 0] = [1, 2, 3, 4, 9]
    line[:5, 3] = [10, 20, 30, 40, 90]
    # From 1, the farthest is 9, then 4 (5 away from 9, 3 from 1).
    np.testing.assert_array_equal(resample(line, 3)[:, [0, 3]], [[1, 10], [9, 90], [4, 40]])
    np.testing.assert_array_equal(resample(line, 7)[:, 0], [1, 9, 4, 2, 3, 0, 0])
    assert resample(line.astype(np.float64), 3).dtype == np.float64
    assert (resample(np.zeros((4, 3)), 2) == 0).all()


def test_clouds_in_farthest_order_are_merely_cut():
    """DP3's generators sample farthest points first, so that thinning out again is taking the first ones."""
    points = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    ordered = points[farthest_point_sampling(points, 100)]
    np.testing.assert_array_equal(resample(ordered, 40), ordered[:40])


def test_resampling_a_store(tmp_path):
    arrays, ends = demonstrations()
    source = write_store(tmp_path / "demo.zarr", arrays, ends)
    config = ConvertConfig(source, root=tmp_path / "out", fps=20, choices=Choices(points=16))
    stored = np.float32(stored_columns(convert(config))["observation.point_cloud"])
    np.testing.assert_array_equal(stored, np.stack([resample(cloud, 16) for cloud in arrays["point_cloud"]]))
    cloud = make_plan(config).facts["clouds"]["observation.point_cloud"]
    assert (cloud["points"], cloud["points_in_the_store"]) == (16, 70)


def test_an_episode_of_one_frame_has_statistics_per_channel():
    cloud = np.random.default_rng(0).standard_normal((1, 9, 3))
    column = Column((Part("point_cloud"),), "observation.point_cloud", "values", (9, 3), np.dtype("float64"))
    stats = column.statistics(cloud)
    np.testing.assert_array_equal(stats["max"], cloud[0].max(axis=0))
    np.testing.assert_allclose(stats["std"], cloud[0].std(axis=0))
    assert stats["count"] == [1]
