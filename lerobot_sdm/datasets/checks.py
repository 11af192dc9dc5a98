"""Questions a dataset must answer before anything is trained on it. Pure functions over arrays and statistics."""

from collections.abc import Mapping

import numpy as np

from lerobot_sdm.errors import InputError


def must_be_finite(key: str) -> bool:
    """Whether a column reaches the network: observations and actions do, rewards and bookkeeping need not."""
    return key == "action" or key.startswith("observation.")


def bad_frames(values: np.ndarray) -> np.ndarray | None:
    """Which of the frames (F, ...) hold NaN or infinity: a mask (F,), or None where there are none."""
    if values.dtype.kind != "f":
        return None
    # The sum of finite numbers is finite unless it overflows, and it needs no array of flags: only where it is
    # not finite are the frames looked at one by one.
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.sum(values, dtype=np.float64)
    if np.isfinite(total):
        return None
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    return bad if bad.any() else None


def check_finite(key: str, values: np.ndarray, episode_index: np.ndarray, frame_index: np.ndarray, source: str) -> None:
    """Refuse a column that holds NaN or infinity.

    Args:
        key: Name of the column, such as `observation.point_cloud`.
        values: (F, ...) the column over all F frames; integers and booleans always pass.
        episode_index: (F,) the episode of each frame.
        frame_index: (F,) the position of each frame in its episode.
        source: What the user knows the dataset by, for the message.

    Raises:
        InputError: Naming the column, the first bad episode and frame, and how many frames are bad.
    """
    bad = bad_frames(values)
    if bad is None:
        return
    first = int(np.argmax(bad))
    raise InputError(
        f"dataset {source}: column '{key}' holds NaN or infinity in {int(bad.sum())} of {len(values)} frames, "
        f"first in episode {int(episode_index[first])}, frame {int(frame_index[first])}. "
        "Leave the episode out with --dataset.episodes, or record it again."
    )


def check_stats_finite(stats: Mapping[str, Mapping[str, np.ndarray]] | None, source: str) -> None:
    """Refuse a dataset whose statistics already show NaN or infinity in what the network would see.

    It costs nothing, so it also stands where the frames themselves are not read ahead of time.

    Args:
        stats: Column -> statistic -> value, as LeRobot stores it in `meta/stats.json`.
        source: What the user knows the dataset by, for the message.

    Raises:
        InputError: Naming the column and the statistic.
    """
    for key, column in (stats or {}).items():
        if not must_be_finite(key):
            continue
        for name in ("min", "max", "mean", "std"):
            if name in column and not np.isfinite(np.asarray(column[name], dtype=np.float64)).all():
                raise InputError(
                    f"dataset {source}: statistic '{name}' of column '{key}' is NaN or infinite, so frames of it "
                    "are too. Record the dataset again without them."
                )
