"""Whether numbers are like those that a policy was trained on: their range, and their scale, in their own units.

A normalizer turns whatever it gets into numbers near -1 ... 1; nothing fails where a cloud comes from another camera,
in millimeters, or with colors of 0 to 1. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.clouds import POINT_CLOUD_KEYS

MARGIN = 0.1
"""Share of a range by which values may exceed it on either side: demonstrations do not reach all ends."""
VECTOR_MARGIN = 0.5
"""The same for vectors, of which a single one is seen at a time and which a robot moves beyond a few demonstrations."""
LARGEST_SHARE = 0.1
"""Share of the values that may lie further out."""
OTHER_SCALE = 50
"""Factor between two ranges, in every channel, that no other scene explains; radians and degrees differ by 57."""
FEWEST_ROWS = 20
"""Rows from which a range can be told."""
XYZ, COLORS = slice(0, 3), slice(3, 6)
NAMES = "xyzrgb"

LEVELS = {"min": 0.0, "q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99, "max": 1.0}
"""LeRobot's statistics that say how many of the values lie below them."""


@dataclass(frozen=True)
class Spread:
    """How the values of each of C channels are spread.

    Args:
        levels: Shares (L,), increasing, from 0 to 1.
        values: Below which that share of a channel's values lies (L, C).
        rows: How many values of each channel there are.
    """

    levels: NDArray[np.float64]
    values: NDArray[np.float64]
    rows: int

    @classmethod
    def of_values(cls, values: NDArray) -> Spread:
        """Of values (..., C), finite."""
        rows = np.asarray(values, dtype=np.float64).reshape(-1, np.shape(values)[-1])
        levels = np.linspace(0, 1, min(len(rows), 101), dtype=np.float64)
        return cls(levels, np.quantile(rows, levels, axis=0).astype(np.float64), len(rows))

    @classmethod
    def of_statistics(cls, statistics: Mapping[str, Any]) -> Spread | None:
        """Of a column's statistics as LeRobot stores them; None where they say nothing of its range."""
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
        """Whether more than the ends is known."""
        return len(self.levels) > 2

    def below(self, limits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of each channel's values that lie below its limit (C,)."""
        return np.array(
            [
                np.interp(limit, values, self.levels) if values[0] < values[-1] else float(limit > values[0])
                for limit, values in zip(limits, self.values.T, strict=True)
            ]
        )

    def outside(self, other: Spread, margin: float) -> NDArray[np.float64]:
        """Share of each channel's values (C,) that lie beyond another's ends by more than `margin` of its width."""
        room = margin * other.width
        return self.below(other.low - room) + 1 - self.below(other.high + room)


@dataclass(frozen=True)
class Difference:
    """What makes a column unlike that of the training.

    Args:
        text: A sentence or more, in units.
        decisive: Whether no other scene or robot explains it: another scale, or a cloud that lies beside the known one.
    """

    text: str
    decisive: bool


def difference(
    key: str, seen: Spread, known: Spread, where: str, owner: str, hint: str | None = None
) -> Difference | None:
    """Compare a column with what a policy was trained on.

    Args:
        key: Its name; clouds are told by `POINT_CLOUD_KEYS`, and have x, y, z in meters and colors.
        seen: What is there; of the same number of channels.
        known: What the policy's normalizer knows.
        where: What holds it, such as "the dataset".
        owner: Whose range is known, such as "the checkpoint at outputs/run".
        hint: What may be the cause, where the caller knows better than the numbers; a question.

    Returns:
        None where the column is as it was.
    """
    cloud = key in POINT_CLOUD_KEYS
    groups = (XYZ, COLORS) if cloud else (slice(None),)
    for group in groups:
        factor = _other_scale(seen, known, group)
        if factor is not None:
            cause = hint or _unit_hint(factor, cloud, group is COLORS)
            told = _channels(seen, known, np.arange(len(seen.low))[group], cloud)
            text = f"'{key}' has another scale in {where} than {owner} was trained with ({told}). {cause}"
            return Difference(text, decisive=True)
    shares = seen.outside(known, MARGIN if cloud else VECTOR_MARGIN)
    outside = np.flatnonzero(shares > LARGEST_SHARE)
    if len(outside) == 0:
        return None
    if cloud:
        what = (
            f"{shares.max():.0%} of the points of '{key}' in {where} lie outside the range of the clouds that {owner}"
        )
        cause = hint or "Was it trained in another view?"
    else:
        what = f"'{key}' in {where} lies outside the range that {owner}"
        cause = hint or "Is it another robot, another unit, or another task?"
    text = f"{what} was trained on ({_channels(seen, known, outside, cloud)}). {cause}"
    return Difference(text, cloud and _lies_beside(seen, known))


def _lies_beside(seen: Spread, known: Spread) -> bool:
    """Whether half of a cloud is further away from the known range than that is wide."""
    middle = seen.values[np.argmin(np.abs(seen.levels - 0.5))]
    beside = (middle < known.low - known.width) | (middle > known.high + known.width)
    return seen.is_detailed and bool(beside[XYZ].any())


def _other_scale(seen: Spread, known: Spread, group: slice) -> float | None:
    """By which factor all channels of a group are wider or narrower than known, if that tells of another unit."""
    mine, theirs = seen.width[group], known.width[group]
    if seen.rows < FEWEST_ROWS or not seen.is_detailed:
        return None
    # Channels that stood still in both have the width that `widen_constant_channels` gave them.
    moves = (mine > 0) & (theirs > 0) & ~(np.isclose(mine, 2) & np.isclose(theirs, 2))
    factors = mine[moves] / theirs[moves]
    if len(factors) > 1 and ((factors > OTHER_SCALE).all() or (factors < 1 / OTHER_SCALE).all()):
        return float(np.median(factors))
    return None


def _unit_hint(factor: float, cloud: bool, colors: bool) -> str:
    """What may be behind values that are by this factor larger than known."""
    larger, ratio = factor > 1, max(factor, 1 / factor)
    if colors:
        return f"Colors of 0 ... 255 and of 0 ... 1 differ so: {'divide' if larger else 'multiply'} them by 255."
    if cloud and 300 < ratio < 3000:
        units = ("millimeters", "meters")
    elif not cloud and 50 < ratio < 65:
        units = ("degrees", "radians")
    else:
        return "Is it in another unit?"
    these, those = units if larger else units[::-1]
    return f"Are these {these}, and were those {those}?"


def _channels(seen: Spread, known: Spread, indices: NDArray[np.int64], cloud: bool) -> str:
    """Such as "x 0.62 ... 1.4 m, not -0.5 ... 0.5 m", of the first three."""
    parts = []
    for i in indices[:3]:
        name = NAMES[i] if cloud and i < len(NAMES) else f"number {i}"
        unit = " m" if cloud and i < 3 else ""
        ranges = (f"{spread.low[i]:.3g} ... {spread.high[i]:.3g}{unit}" for spread in (seen, known))
        parts.append(f"{name} {', not '.join(ranges)}")
    if len(indices) > 3:
        parts.append(f"and {len(indices) - 3} more")
    return "; ".join(parts)
