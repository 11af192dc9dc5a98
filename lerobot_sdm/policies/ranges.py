"""Compare the range and scale of data with those of a policy's training data, in the original units.

A normalizer maps its inputs to about -1 ... 1, so nothing fails if a cloud comes from another camera, is in
millimeters, or has colors of 0 to 1. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.clouds import POINT_CLOUD_KEYS

MARGIN = 0.1
"""Fraction of a range by which values may exceed it on either side: demonstrations do not cover all of it."""
VECTOR_MARGIN = 0.5
"""The same for vectors: they are checked one at a time, and a robot easily moves beyond a few demonstrations."""
LARGEST_SHARE = 0.1
"""Fraction of the values that may lie even further outside."""
OTHER_SCALE = 50
"""Factor between two ranges, in every channel, that only another unit explains; radians and degrees differ by 57."""
FEWEST_ROWS = 20
"""Minimum number of rows for a reliable range."""
XYZ, COLORS = slice(0, 3), slice(3, 6)
NAMES = "xyzrgb"

LEVELS = {"min": 0.0, "q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99, "max": 1.0}
"""LeRobot's quantile statistics -> fraction of the values that lie below them."""


@dataclass(frozen=True)
class ValueRange:
    """Quantiles of the values of each of C channels.

    Args:
        levels: Quantile levels (L,), increasing, from 0 to 1.
        values: Quantiles of each channel (L, C).
        rows: Number of values per channel.
    """

    levels: NDArray[np.float64]
    values: NDArray[np.float64]
    rows: int

    @classmethod
    def of_values(cls, values: NDArray) -> ValueRange:
        """Compute the quantiles of finite values (..., C)."""
        rows = np.asarray(values, dtype=np.float64).reshape(-1, np.shape(values)[-1])
        levels = np.linspace(0, 1, min(len(rows), 101), dtype=np.float64)
        return cls(levels, np.quantile(rows, levels, axis=0).astype(np.float64), len(rows))

    @classmethod
    def of_statistics(cls, statistics: Mapping[str, Any]) -> ValueRange | None:
        """Read the quantiles from a column's statistics as LeRobot stores them; None if they contain no range."""
        found = {
            name: np.asarray(statistics[name], dtype=np.float64).reshape(-1) for name in LEVELS if name in statistics
        }
        if not {"min", "max"} <= found.keys() or not all(np.isfinite(value).all() for value in found.values()):
            return None
        count = int(np.max(statistics["count"])) if "count" in statistics else FEWEST_ROWS
        values = np.maximum.accumulate(np.stack(list(found.values())))
        return cls(np.array([LEVELS[name] for name in found]), values, count)

    @property
    def low(self) -> NDArray[np.float64]:
        """Least value of each channel (C,)."""
        return self.values[0]

    @property
    def high(self) -> NDArray[np.float64]:
        """Largest value of each channel (C,)."""
        return self.values[-1]

    @property
    def width(self) -> NDArray[np.float64]:
        """(C,)"""
        return self.high - self.low

    @property
    def is_detailed(self) -> bool:
        """Whether more than the minimum and maximum is known."""
        return len(self.levels) > 2

    def below(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fraction of each channel's values that lie below its limit (C,)."""
        return np.array(
            [
                np.interp(limit, values, self.levels) if values[0] < values[-1] else float(limit > values[0])
                for limit, values in zip(limits, self.values.T, strict=True)
            ]
        )

    def outside(self, other: ValueRange, margin: float) -> NDArray[np.float64]:
        """Fraction of each channel's values (C,) that exceed another's range by more than `margin` of its width."""
        room = margin * other.width
        return self.below(other.low - room) + 1 - self.below(other.high + room)


@dataclass(frozen=True)
class Difference:
    """How a column differs from the training data.

    Args:
        text: One or more sentences, with units.
        decisive: Whether another scene or robot cannot explain it: the scale differs, or a cloud lies far outside the
            known range.
    """

    text: str
    decisive: bool


def difference(key: str, seen: ValueRange, known: ValueRange, where: str, owner: str) -> Difference | None:
    """Compare a column with a policy's training data; None if they agree.

    Args:
        key: Its name; names in `POINT_CLOUD_KEYS` are clouds, with x, y, z in meters and colors.
        seen: Values of the column; the same number of channels as `known`.
        known: Values according to the policy's normalizer.
        where: Where the column is, such as "the dataset".
        owner: Whose training data are known, such as "the checkpoint at outputs/run".
    """
    cloud = key in POINT_CLOUD_KEYS
    groups = (XYZ, COLORS) if cloud else (slice(None),)
    for group in groups:
        factor = _other_scale(seen, known, group)
        if factor is not None:
            cause = _unit_hint(factor, cloud, group is COLORS)
            told = _channels(seen, known, np.arange(len(seen.low))[group], cloud)
            text = f"'{key}' has a different scale in {where} than {owner} was trained with ({told}). {cause}"
            return Difference(text, decisive=True)
    shares = seen.outside(known, MARGIN if cloud else VECTOR_MARGIN)
    outside = np.flatnonzero(shares > LARGEST_SHARE)
    if len(outside) == 0:
        return None
    if cloud:
        what = (
            f"{shares.max():.0%} of the points of '{key}' in {where} lie outside the range of the clouds that {owner}"
        )
        cause = "Was it trained with another view?"
    else:
        what = f"'{key}' in {where} lies outside the range that {owner}"
        cause = "Is it another robot, another unit, or another task?"
    text = f"{what} was trained on ({_channels(seen, known, outside, cloud)}). {cause}"
    return Difference(text, cloud and _lies_beside(seen, known))


def _lies_beside(seen: ValueRange, known: ValueRange) -> bool:
    """Whether half of a cloud is further away from the known range than that range is wide."""
    middle = seen.values[np.argmin(np.abs(seen.levels - 0.5))]
    beside = (middle < known.low - known.width) | (middle > known.high + known.width)
    return seen.is_detailed and bool(beside[XYZ].any())


def _other_scale(seen: ValueRange, known: ValueRange, group: slice) -> float | None:
    """Factor by which all channels of a group are wider or narrower than known, if it suggests another unit."""
    mine, theirs = seen.width[group], known.width[group]
    if seen.rows < FEWEST_ROWS or not seen.is_detailed:
        return None
    # Channels that are constant in both have the width that `widen_constant_channels` gave them.
    moves = (mine > 0) & (theirs > 0) & ~(np.isclose(mine, 2) & np.isclose(theirs, 2))
    factors = mine[moves] / theirs[moves]
    if len(factors) > 1 and ((factors > OTHER_SCALE).all() or (factors < 1 / OTHER_SCALE).all()):
        return float(np.median(factors))
    return None


def _unit_hint(factor: float, cloud: bool, colors: bool) -> str:
    """A question that names the probable cause of values that are larger than known by this factor."""
    larger, ratio = factor > 1, max(factor, 1 / factor)
    if colors:
        return f"This is the ratio of 0 ... 255 to 0 ... 1: {'divide' if larger else 'multiply'} the colors by 255."
    if cloud and 300 < ratio < 3000:
        units = ("millimeters", "meters")
    elif not cloud and 50 < ratio < 65:
        units = ("degrees", "radians")
    else:
        return "Is it in another unit?"
    these, those = units if larger else units[::-1]
    return f"Are these {these}, and were those {those}?"


def _channels(seen: ValueRange, known: ValueRange, indices: NDArray[np.int64], cloud: bool) -> str:
    """Describe the first three channels, such as "x 0.62 ... 1.4 m, not -0.5 ... 0.5 m"."""
    parts = []
    for i in indices[:3]:
        name = NAMES[i] if cloud and i < len(NAMES) else f"number {i}"
        unit = " m" if cloud and i < 3 else ""
        ranges = (f"{spread.low[i]:.3g} ... {spread.high[i]:.3g}{unit}" for spread in (seen, known))
        parts.append(f"{name} {', not '.join(ranges)}")
    if len(indices) > 3:
        parts.append(f"and {len(indices) - 3} more")
    return "; ".join(parts)
