"""Prepare dataset statistics for point clouds and safe min-max normalization."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import DepthToCloudConfig

RANGE_FLOOR = 1e-4
"""DP3 treats a channel with a smaller range than this as constant."""

NEEDED = {
    NormalizationMode.MIN_MAX: ("min", "max"),
    NormalizationMode.MEAN_STD: ("mean", "std"),
    NormalizationMode.QUANTILES: ("q01", "q99"),
    NormalizationMode.QUANTILE10: ("q10", "q90"),
}
"""Statistics used by LeRobot's normalizer; without them, it silently leaves a feature unnormalized."""

Stats = dict[str, dict[str, Any]]
"""Feature -> statistic -> values, as in LeRobotDatasetMetadata.stats."""


def prepare_stats(stats: Stats, cloud_channels: int, depth_to_cloud: DepthToCloudConfig | None = None) -> None:
    """Prepare dataset statistics for a point-cloud policy, in place and idempotently.

    In place, because LeRobot passes the same object first to the policy and then to its processors; and when
    fine-tuning it does not create processors through the policy, so a copy would be bypassed.

    Args:
        stats: Modified: the cloud is moved to `observation.point_cloud` with `cloud_channels` channels, and constant
            channels of all features are widened by `widen_constant_channels`.
        cloud_channels: 3 for xyz, 6 with color.
        depth_to_cloud: How depth images are converted to clouds. A dataset without clouds has no statistics of them,
            so the range of the crop is used instead.

    Raises:
        InputError: Statistics of the cloud are missing, and no crop is configured.
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
        # `check_statistics` reports mismatched shapes.
        if "min" in feature and "max" in feature and np.shape(feature["min"]) == np.shape(feature["max"]):
            feature["min"], feature["max"] = widen_constant_channels(
                np.asarray(feature["min"]), np.asarray(feature["max"])
            )


def check_statistics(
    statistics: Mapping[str, Mapping[str, Any]],
    features: Mapping[str, PolicyFeature],
    modes: Mapping[str, NormalizationMode],
    source: str,
    fix: str,
) -> None:
    """Refuse statistics with which a feature would be normalized wrongly or not at all.

    Args:
        statistics: Column -> statistic -> values.
        features: The features to normalize.
        modes: Feature type -> normalization mode.
        source: Where the statistics come from, for the message.
        fix: How to fix it, a sentence.

    Raises:
        InputError: A statistic is missing, not finite, or does not match the column's shape.
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
    """Widen the ranges (C,) below `RANGE_FLOOR` of almost constant channels, so that they are normalized to 0 at unit
    scale.

    LeRobot only guards against a range of exactly 0: in a channel that moved by 1e-5 in the demonstrations, sensor
    noise would be scaled to several hundred. DP3 gives such a channel scale 1 and offset -min; the range
    [min - 1, min + 1] has the same effect in LeRobot's normalizer.
    """
    constant = (high - low) < RANGE_FLOOR
    return np.where(constant, low - 1, low), np.where(constant, low + 1, high)


def unflattened(state: Mapping[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
    """Convert the state of LeRobot's normalizer (`observation.state.min` etc.) to column -> statistic -> values."""
    statistics: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state.items():
        key, _, statistic = name.rpartition(".")
        statistics.setdefault(key, {})[statistic] = value.float().cpu().numpy()
    return statistics
