"""Checks for NaN and infinity before training on a dataset. Pure functions of arrays and statistics."""

from collections.abc import Mapping

import numpy as np

from lerobot_sdm.errors import InputError


def must_be_finite(key: str) -> bool:
    """Whether a column reaches the network and so must be finite: observations and actions."""
    return key == "action" or key.startswith("observation.")


def bad_frames(values: np.ndarray) -> np.ndarray | None:
    """Mask (F,) of the frames (F, ...) that contain NaN or infinity, or None if there are none."""
    if values.dtype.kind != "f":
        return None
    # A sum is cheap and needs no temporary array. Finite numbers have a finite sum unless it overflows, so frames are
    # checked one by one only if the sum is not finite.
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.sum(values, dtype=np.float64)
    if np.isfinite(total):
        return None
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    return bad if bad.any() else None


def check_finite(key: str, values: np.ndarray, episode_index: np.ndarray, frame_index: np.ndarray, source: str) -> None:
    """Refuse an observation or action that contains NaN or infinity.

    Args:
        key: Name of the column, such as `observation.point_cloud`.
        values: (F, ...) the column over all F frames; integers and booleans always pass.
        episode_index: (F,) the episode of each frame.
        frame_index: (F,) the position of each frame in its episode.
        source: The user's name for the dataset, for the message.

    Raises:
        InputError: Names the column, the first bad episode and frame, and how many frames are bad.
    """
    bad = bad_frames(values) if must_be_finite(key) else None
    if bad is None:
        return
    first = int(np.argmax(bad))
    raise InputError(
        f"dataset {source}: column '{key}' contains NaN or infinity in {int(bad.sum())} of {len(values)} frames, "
        f"first in episode {int(episode_index[first])}, frame {int(frame_index[first])}. "
        "Exclude the episode with --dataset.episodes, or record it again."
    )


def check_stats_finite(stats: Mapping[str, Mapping[str, np.ndarray]] | None, source: str) -> None:
    """Refuse a dataset whose statistics show NaN or infinity in a column that reaches the network.

    It costs nothing, so it also runs where the frames are not read ahead of time.

    Args:
        stats: Column -> statistic -> value, as LeRobot stores it in `meta/stats.json`.
        source: The user's name for the dataset, for the message.

    Raises:
        InputError: Names the column and the statistic.
    """
    for key, column in (stats or {}).items():
        if not must_be_finite(key):
            continue
        for name in ("min", "max", "mean", "std"):
            if name in column and not np.isfinite(np.asarray(column[name], dtype=np.float64)).all():
                raise InputError(
                    f"dataset {source}: statistic '{name}' of column '{key}' is NaN or infinite, so some of its "
                    "frames are too. Record the dataset again without them."
                )
