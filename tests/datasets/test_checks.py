"""Checks on arrays and statistics; the whole way through a dataset is tested with the cached reader."""

import numpy as np
import pytest

from lerobot_sdm.datasets.checks import check_finite, check_stats_finite, must_be_finite
from lerobot_sdm.errors import InputError

EPISODES, FRAMES = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])


def test_the_first_bad_frame_is_named():
    values = np.ones((4, 5, 3), dtype=np.float16)
    check_finite("observation.point_cloud", values, EPISODES, FRAMES, "local/test")
    values[3, 2, 1] = np.inf
    values[1, 4, 0] = np.nan
    with pytest.raises(InputError, match=r"local/test.*point_cloud.*2 of 4 frames.*episode 0, frame 1"):
        check_finite("observation.point_cloud", values, EPISODES, FRAMES, "local/test")


def test_opposite_infinities_do_not_cancel_and_huge_numbers_pass():
    values = np.zeros((4, 2))
    values[2] = np.inf, -np.inf
    with pytest.raises(InputError, match="episode 1, frame 0"):
        check_finite("action", values, EPISODES, FRAMES, "local/test")
    check_finite("action", np.full((4, 2), 1e308), EPISODES, FRAMES, "local/test")


def test_integers_and_booleans_pass():
    for values in (np.arange(4), np.ones(4, dtype=bool)):
        check_finite("action", values, EPISODES, FRAMES, "local/test")


def test_statistics_of_what_the_network_sees_must_be_finite():
    good = {"min": np.zeros(2), "max": np.ones(2), "count": np.array([4])}
    check_stats_finite({"action": good, "next.reward": {"mean": np.array([np.nan])}}, "local/test")
    check_stats_finite(None, "local/test")
    bad = {**good, "max": np.array([1.0, np.nan])}
    with pytest.raises(InputError, match=r"'max' of column 'observation\.state'"):
        check_stats_finite({"action": good, "observation.state": bad}, "local/test")


def test_bookkeeping_need_not_be_finite():
    named = {key: must_be_finite(key) for key in ("action", "observation.point_cloud", "next.reward", "timestamp")}
    assert list(named.values()) == [True, True, False, False]
