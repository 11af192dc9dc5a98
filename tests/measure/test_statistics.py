"""Intervals against published examples."""

import numpy as np
import pytest

from lerobot_sdm.measure.statistics import bootstrap_mean, paired_difference, wilson_interval


def table(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, 857-872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_published(successes, trials, low, high):
    interval = wilson_interval(successes, trials)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)


def test_wilson_is_symmetric_and_keeps_its_estimate():
    for successes in range(51):
        interval, mirrored = wilson_interval(successes, 50), wilson_interval(50 - successes, 50)
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
        assert interval.low == pytest.approx(1 - mirrored.high)


@pytest.mark.parametrize(
    ("counts", "estimate", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, 2635-2650, method 10.
        ((36, 12, 2, 0), 0.2, 0.0569, 0.3404),
        # Airway hyper-responsiveness before and after a transplantation (Fagerland, Lydersen and Laake,
        # 2014, Statistics in Medicine 33, 2850-2875), the interval called Newcombe square-and-add there.
        ((1, 1, 7, 12), -0.286, -0.507, -0.026),
    ],
)
def test_paired_difference_published(counts, estimate, low, high):
    interval = paired_difference(*table(*counts))
    digits = 5e-5 if counts[0] == 36 else 5e-4
    assert interval.estimate == pytest.approx(estimate, abs=5e-4)
    assert interval.low == pytest.approx(low, abs=digits)
    assert interval.high == pytest.approx(high, abs=digits)


def test_paired_difference_swaps_sign():
    first, second = table(30, 6, 3, 11)
    forward, backward = paired_difference(first, second), paired_difference(second, first)
    assert forward.low == pytest.approx(-backward.high)
    assert forward.high == pytest.approx(-backward.low)


def test_pairing_narrows_the_interval():
    """The same two rates: agreeing seed by seed says more than agreeing on average."""
    matched = paired_difference(*table(40, 2, 1, 7))
    crossed = paired_difference(*table(34, 8, 7, 1))
    assert matched.estimate == crossed.estimate
    assert matched.high - matched.low < crossed.high - crossed.low


def test_all_succeed_leaves_doubt():
    """50 of 50 twice is no proof of equality: Wilson's 7.1 points remain on both sides."""
    interval = paired_difference([True] * 50, [True] * 50)
    assert interval.estimate == 0
    assert interval.high == pytest.approx(1 - wilson_interval(50, 50).low)
    assert interval.low == pytest.approx(-interval.high)


def test_bad_counts():
    with pytest.raises(ValueError, match="trials"):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match="equally many"):
        paired_difference([True], [True, False])


def test_bootstrap_agrees_with_the_standard_error():
    values = np.random.default_rng(3).normal(2.0, 1.0, size=400)
    interval = bootstrap_mean(values)
    half = 1.959964 * values.std() / 20
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.1)
    assert interval.estimate - interval.low == pytest.approx(half, rel=0.1)
    assert bootstrap_mean(values) == interval


def test_bootstrap_of_one_value_has_no_width():
    interval = bootstrap_mean([0.5])
    assert (interval.estimate, interval.low, interval.high) == (0.5, 0.5, 0.5)
