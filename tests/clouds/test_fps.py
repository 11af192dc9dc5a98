"""Compiled farthest point sampling against a plain reference."""

import numpy as np
import pytest

from lerobot_sdm.clouds.fps import farthest_point_sampling


def reference(points, count):
    """The greedy definition in numpy, float32, first index wins a tie."""
    points = points[:, :3].astype(np.float32)
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    picked = []
    last = 0
    for _ in range(count):
        picked.append(last)
        nearest[last] = -1
        squares = (points - points[last]) ** 2
        nearest = np.minimum(nearest, squares[:, 0] + squares[:, 1] + squares[:, 2])
        last = int(nearest.argmax())
    return np.array(picked, dtype=np.int64)


def clouds():
    rng = np.random.default_rng(0)
    axis = np.arange(13, dtype=np.float32) * np.float32(0.01)
    grid = np.stack(np.meshgrid(axis, axis, axis[:3]), axis=-1).reshape(-1, 3)
    return {
        "random": rng.normal(size=(1000, 3)).astype(np.float32),
        "grid full of ties": grid,
        "duplicates": np.repeat(rng.normal(size=(40, 3)).astype(np.float32), 5, axis=0),
        "all the same": np.ones((70, 3), dtype=np.float32),
        "six columns": rng.normal(size=(300, 6)).astype(np.float32),
        "one lane short": rng.normal(size=(63, 3)).astype(np.float32),
        "a single point": np.zeros((1, 3), dtype=np.float32),
    }


@pytest.mark.parametrize("name", clouds())
def test_picks_what_the_reference_picks(name):
    points = clouds()[name]
    for count in {1, len(points) // 3, len(points)} - {0}:
        picked = farthest_point_sampling(points, count)
        np.testing.assert_array_equal(picked, reference(points, count))
        assert len(set(picked.tolist())) == count


def test_every_prefix_is_itself_a_sample():
    points = clouds()["random"]
    whole = farthest_point_sampling(points, 256)
    for count in (1, 2, 64, 255):
        np.testing.assert_array_equal(whole[:count], farthest_point_sampling(points, count))


def test_by_hand():
    line = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [10, 0, 0], [5.5, 0, 0]], dtype=np.float32)
    np.testing.assert_array_equal(farthest_point_sampling(line, 4), [0, 3, 4, 2])


def test_none_of_none():
    assert farthest_point_sampling(np.empty((0, 3), dtype=np.float32), 0).shape == (0,)


@pytest.mark.parametrize("count", [-1, 4])
def test_impossible_counts_are_refused(count):
    with pytest.raises(ValueError, match=f"cannot pick {count} of 3"):
        farthest_point_sampling(np.zeros((3, 3), dtype=np.float32), count)
