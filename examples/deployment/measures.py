"""What a point of the sweep says: from the turns of the loop and the robot's periods to counts, times and rates."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from control_loop import Tick
from simulated_robot import MILLISECOND

from lerobot_sdm.measure.statistics import paired_difference, wilson_interval

Episode = dict[str, Any]


def episode_record(seed: int, robot: dict[str, Any], ticks: Sequence[Tick], period: int) -> Episode:
    """One episode, as it stands in the results.

    Args:
        seed: Of the episode.
        robot: `SimulatedRobot.summary`.
        ticks: Turns of the loop.
        period: Nanoseconds of a control period.
    """
    sent = np.array([tick.sent for tick in ticks])
    return {
        "seed": seed,
        **robot,
        "ticks": len(ticks),
        "ticks_missed": sum(tick.missed > 0 for tick in ticks),
        "planning_ms": [round(tick.decision / MILLISECOND, 3) for tick in ticks if tick.planned],
        "planning_missed": sum(tick.missed > 0 for tick in ticks if tick.planned),
        "other_ms": [round(tick.decision / MILLISECOND, 3) for tick in ticks if not tick.planned],
        # Commands should leave one period after the other.
        "interval_errors_ms": [round(float(error), 3) for error in (np.diff(sent) - period) / MILLISECOND],
    }


def summarize(episodes: Sequence[Episode]) -> dict[str, Any]:
    """All episodes of a policy at one point of the sweep.

    Args:
        episodes: Of `episode_record`.

    Returns:
        Counts; decision times in milliseconds, of those that plan a chunk and of the others; jitter, the root mean
        square by which the time between two commands differs from a period, milliseconds; success with its interval.
    """
    planning, other, errors = (_joined(episodes, key) for key in ("planning_ms", "other_ms", "interval_errors_ms"))
    counts = ("periods", "periods_held", "overwritten", "ticks", "ticks_missed", "planning_missed")
    successes = [episode["success"] for episode in episodes]
    return {
        **{name: sum(episode[name] for episode in episodes) for name in counts},
        "planning": _times(planning),
        "other": _times(other),
        "jitter_ms": float(np.sqrt(np.mean(errors**2))) if errors.size else 0.0,
        "successes": successes,
        "success_rate": asdict(wilson_interval(sum(successes), len(successes))),
    }


def against(first: Sequence[Episode], other: Sequence[Episode]) -> dict[str, float]:
    """Difference in success to the first policy on the same seeds, with its interval."""
    outcomes = [[episode["success"] for episode in episodes] for episodes in (other, first)]
    return asdict(paired_difference(*outcomes))


def _joined(episodes: Sequence[Episode], key: str) -> np.ndarray:
    return np.concatenate([np.asarray(episode[key], dtype=float) for episode in episodes])


def _times(values: np.ndarray) -> dict[str, float | int]:
    """Median, 95th percentile and worst of some times, and their number."""
    if not values.size:
        return {"count": 0}
    p50, p95 = np.percentile(values, [50, 95])
    return {"count": values.size, "p50_ms": float(p50), "p95_ms": float(p95), "max_ms": float(values.max())}
