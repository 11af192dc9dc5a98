"""Confidence intervals for success rates, their paired differences, and means. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate with a lower and an upper confidence limit, all in the unit of the estimate."""

    estimate: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int) -> Interval:
    """95% confidence interval of a success rate.

    Source: Wilson (1927), JASA 22, 209-212; it stays inside [0, 1] and has positive width at 0 and 100%, where
    policies often are.

    Args:
        successes: Number of successful episodes.
        trials: Number of episodes, at least 1.

    Returns:
        The rate and its limits, each between 0 and 1.

    Raises:
        ValueError: If there are no trials or the counts contradict each other.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"Needs 0 <= successes <= trials and trials >= 1, got {successes} of {trials}.")
    from scipy import stats  # Slower to import than everything else that a benchmark's worker needs.

    limits = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return Interval(successes / trials, float(limits.low), float(limits.high))


def success_rate(outcomes: Sequence[bool]) -> Interval:
    """The success rate of episodes with its `wilson_interval`."""
    return wilson_interval(sum(outcomes), len(outcomes))


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> Interval:
    """95% confidence interval of the difference in success rate, `first - second`, over the same seeds.

    Source: Newcombe (1998), Statistics in Medicine 17, 2635-2650, method 10: the Wilson limits of both rates
    are combined, with the correlation between the pairs estimated from the 2 x 2 table (and pulled toward
    zero by half a table, as the paper advises, when it is positive).

    Args:
        first: Success of one policy, seed by seed.
        second: Success of the other policy on the same seeds in the same order.

    Returns:
        The difference and its limits, each between -1 and 1.

    Raises:
        ValueError: If the two do not have the same positive number of episodes.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"Pairs need equally many episodes, got {len(first)} and {len(second)}.")
    trials = len(first)
    both, only_first, only_second, neither = (
        sum((bool(x), bool(y)) == pair for x, y in zip(first, second, strict=True))
        for pair in ((True, True), (True, False), (False, True), (False, False))
    )
    a, b = success_rate(first), success_rate(second)
    correlation = _corrected_phi(both, only_first, only_second, neither)
    difference = (only_first - only_second) / trials
    below = _combine(a.estimate - a.low, b.high - b.estimate, correlation)
    above = _combine(a.high - a.estimate, b.estimate - b.low, correlation)
    return Interval(difference, difference - below, difference + above)


def bootstrap_mean(values: Sequence[float], resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean with a 95% percentile bootstrap interval (Efron and Tibshirani, 1993, chapter 13).

    Args:
        values: One value per independently drawn unit.
        resamples: Number of bootstrap draws.
        seed: Seed of the draws; the interval is a fixed function of the values.

    Returns:
        The mean and its limits, in the unit of the values.
    """
    from scipy import stats  # See `wilson_interval`.

    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) == 1:
        return Interval(mean, mean, mean)
    drawn = stats.bootstrap(
        (array,), np.mean, n_resamples=resamples, method="percentile", rng=np.random.default_rng(seed)
    )
    return Interval(mean, float(drawn.confidence_interval.low), float(drawn.confidence_interval.high))


def _corrected_phi(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Phi coefficient of a 2 x 2 table with Newcombe's correction; 0 where a margin is empty."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    cross = float(both * neither - only_first * only_second)
    if cross > 0:
        cross = max(cross - (both + only_first + only_second + neither) / 2, 0)
    return cross / sqrt(margins)


def _combine(x: float, y: float, correlation: float) -> float:
    """Length of the difference of two lengths that are correlated (the square is never below zero)."""
    return sqrt(max(x**2 - 2 * correlation * x * y + y**2, 0.0))
