"""The order of attempts, what is kept of them, and the file each is kept in."""

import itertools

import numpy as np
import pytest

from lerobot_sdm.datasets.episodes import Attempt, Episode, Rules, attempts


def test_variants_share_their_start():
    plan = list(itertools.islice(attempts(seed=7, variants=2), 4))
    assert plan == [Attempt(0, 7, 0), Attempt(1, 7, 1), Attempt(2, 8, 0), Attempt(3, 8, 1)]


@pytest.mark.parametrize(
    ("keep", "success", "accepted"),
    [
        # DP3 keeps success at any step with at least five steps in success.
        ("any", "0111110", True),
        ("any", "0011110", False),
        ("any", "1010101011", True),
        ("last", "0111110", False),
        ("last", "0011111", True),
        ("last", "0000001", False),
        ("all", "0000000", True),
    ],
)
def test_which_episodes_are_kept(keep, success, accepted):
    assert Rules(keep).accept(np.array([step == "1" for step in success]), success.count("1")) is accepted


def test_simulator_steps_are_counted_where_an_action_spans_several():
    # DP3's Adroit scripts ask for ten simulator steps at the goal; here two pass in each control step.
    success = np.array([step == "1" for step in "00011111"])
    assert Rules(min_success_steps=10).accept(success, success_steps=10)
    assert not Rules(min_success_steps=10).accept(success, success_steps=9)


@pytest.mark.parametrize(("stop_after", "frames"), [(None, 9), (1, 5), (2, 6), (50, 9)])
def test_where_episodes_are_cut(stop_after, frames):
    success = np.array([step == "1" for step in "000110000"])
    assert Rules(stop_after_success=stop_after).end(success) == frames
    assert Rules(stop_after_success=stop_after).end(np.zeros(9, dtype=bool)) == 9


def test_driving_stops_only_when_nothing_can_change():
    rules = Rules(min_success_steps=5, stop_after_success=3)
    assert not rules.may_stop(None, 0, 100)
    assert not rules.may_stop(10, 4, 100)  # may still be accepted
    assert not rules.may_stop(10, 5, 12)  # frames to come are recorded
    assert rules.may_stop(10, 5, 13)
    assert not Rules().may_stop(10, 100, 199)


def test_what_comes_after_the_cut_does_not_count():
    """The goal is lost three steps after the first success, which is after the end of the recording."""
    success = np.array([step == "1" for step in "00111000"])
    rules = Rules("last", min_success_steps=1, stop_after_success=2)
    recorded = success[: rules.end(success)]
    assert rules.accept(recorded, success_steps=3)
    assert not Rules("last", min_success_steps=1).accept(success, success_steps=3)


def test_episodes_come_back_from_their_files(tmp_path):
    frames = {"action": np.random.default_rng(0).random((3, 4), dtype=np.float32), "next.success": np.eye(3) > 0}
    path = tmp_path / "attempt.npz"
    Episode(Attempt(4, 9, 1), kept=True, success_steps=2, frames=frames).save(path)
    assert list(tmp_path.iterdir()) == [path]
    loaded = Episode.load(path)
    assert (loaded.attempt, loaded.kept, loaded.success_steps) == (Attempt(4, 9, 1), True, 2)
    for key, values in frames.items():
        assert loaded.frames[key].dtype == values.dtype
        np.testing.assert_array_equal(loaded.frames[key], values)
    assert Episode.load(path, with_frames=False).frames == {}
