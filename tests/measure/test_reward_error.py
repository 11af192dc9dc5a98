"""Errors and ranks of a reward model, by hand."""

import numpy as np
import pytest

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.reward_error import measure_reward_error, reward_error


def test_numbers():
    label = np.array([0.0, 1.0, 2.0, 5.0])
    predicted = np.array([[0.0, 2.0, 1.0, 5.0], [0.0, 2.0, 3.0, 5.0]])
    found = reward_error(predicted, label)
    assert found["rmse"] == pytest.approx(0.5)  # errors 0, 1, 0, 0
    assert found["mae"] == pytest.approx(0.25)
    assert found["constant_rmse"] == pytest.approx(np.sqrt(3.5))  # mean 2, squares 4, 1, 0, 9
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5 over the root of 4.5 times 5.
    assert found["rank_correlation"] == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert found["moving_rank_correlation"] == pytest.approx(1.0)  # of 2 and 5
    assert found["spread"] == pytest.approx(0.25)


def test_what_moves_is_the_half_with_the_largest_labels():
    """However many labels are exactly 0, as where nothing was touched."""
    label = np.array([0.0, 0, 0, 0, 0, 1, 2, 3])
    predicted = np.array([[9.0, 8, 7, 6, 0, 1, 2, 3]])
    assert reward_error(predicted, label)["moving_rank_correlation"] == pytest.approx(1.0)


def test_a_single_member_knows_nothing_of_its_error():
    found = reward_error(np.array([[0.0, 1.0, 2.0]]), np.array([0.0, 1.0, 3.0]))
    assert (found["spread"], found["spread_rank_correlation"]) == (0, 0)


def test_a_policy_is_no_reward_model(tmp_path):
    with pytest.raises(InputError, match=r"holds no config\.json"):
        measure_reward_error(str(tmp_path))
