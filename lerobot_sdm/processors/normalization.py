"""Dataset statistics made fit for point clouds and safe for min-max normalization."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import DepthToCloudConfig

RANGE_FLOOR = 1e-4
"""DP3 treats a channel whose range is smaller than this as constant."""

NEEDED = {
    NormalizationMode.MIN_MAX: ("min", "max"),
    NormalizationMode.MEAN_STD: ("mean", "std"),
    NormalizationMode.QUANTILES: ("q01", "q99"),
    NormalizationMode.QUANTILE10: ("q10", "q90"),
}
"""What LeRobot's normalizer computes with; what it has none of it passes on as it is."""

Stats = dict[str, dict[str, Any]]
"""Feature -> statistic -> values, as LeRobotDatasetMetadata.stats has them."""


def prepare_stats(stats: Stats, cloud_channels: int, depth_to_cloud: DepthToCloudConfig | None = None) -> Stats:
    """Fit dataset statistics to a point-cloud policy, in place and idempotently.

    In place, because LeRobot hands one and the same object first to the policy and then to its processors, and
    when fine-tuning it never asks the policy for processors: a copy would be bypassed there.

    Args:
        stats: Changed: the cloud stands under `observation.point_cloud` with `cloud_channels` channels, and
            constant channels of every feature are widened by `widen_constant_channels`.
        cloud_channels: 3 for xyz, 6 with color.
        depth_to_cloud: How depth images become clouds. Data that hold no cloud have no statistics of it: the range
            of the crop takes their place.

    Returns:
        The same object.

    Raises:
        InputError: Statistics of the cloud are missing, and there is no crop.
    """
    if depth_to_cloud is not None and not any(key in stats for key in POINT_CLOUD_KEYS):
        stats[POINT_CLOUD] = depth_to_cloud.statistics()
    for key in POINT_CLOUD_KEYS:
        if key in stats:
            cloud = stats.pop(key)
            stats[POINT_CLOUD] = {
                name: values if name == "count" else values[..., :cloud_channels] for name, values in cloud.items()
            }
    for feature in stats.values():
        # Of shapes that differ `check_statistics` says what is wrong.
        if "min" in feature and "max" in feature and np.shape(feature["min"]) == np.shape(feature["max"]):
            feature["min"], feature["max"] = widen_constant_channels(
                np.asarray(feature["min"]), np.asarray(feature["max"])
            )
    return stats


def check_statistics(
    statistics: Mapping[str, Mapping[str, Any]],
    features: Mapping[str, PolicyFeature],
    modes: Mapping[str, NormalizationMode],
    source: str,
    fix: str,
) -> None:
    """Refuse statistics by which something would not be normalized, or wrongly.

    Args:
        statistics: Column -> statistic -> values.
        features: What is normalized.
        modes: Kind of feature -> how.
        source: Whose statistics they are, for the message.
        fix: What to do about it, a sentence.

    Raises:
        InputError: One is missing, not finite, or of a shape that does not fit the column.
    """
    for key, feature in features.items():
        kind, shape = FeatureType(feature.type), tuple(feature.shape)
        mode = next((mode for name, mode in modes.items() if FeatureType(name) is kind), NormalizationMode.IDENTITY)
        for name in NEEDED.get(NormalizationMode(mode), ()):
            if name not in statistics.get(key, {}):
                raise InputError(f"{source}: no '{name}' of '{key}', so that '{key}' would not be normalized. {fix}")
            value = np.asarray(statistics[key][name])
            if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
                raise InputError(f"{source}: '{name}' of '{key}' is not finite. {fix}")
            if not _broadcasts(value.shape, shape):
                told = f"'{name}' of '{key}' has shape {value.shape}, and '{key}' has {shape}"
                raise InputError(f"{source}: {told}. {fix}")


def _broadcasts(mine: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(mine, whole) == whole
    except ValueError:
        return False


def widen_constant_channels(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let channels that hardly move normalize to 0 at unit scale.

    LeRobot only guards against a range of exactly 0: a channel that moved by 1e-5 in the demonstrations would
    turn sensor noise into a value of several hundred. DP3 gives such a channel scale 1 and offset -min; the
    range [min - 1, min + 1] does the same in LeRobot's normalizer.

    Args:
        low: Smallest values (C,).
        high: Largest values (C,).

    Returns:
        (low, high) with ranges below `RANGE_FLOOR` widened.
    """
    constant = (high - low) < RANGE_FLOOR
    return np.where(constant, low - 1, low), np.where(constant, low + 1, high)
