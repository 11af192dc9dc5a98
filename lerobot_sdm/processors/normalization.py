"""Dataset statistics made fit for point clouds and safe for min-max normalisation."""

from typing import Any

import numpy as np

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.processors.depth_config import DepthToCloudConfig

RANGE_FLOOR = 1e-4
"""DP3 treats a channel whose range is smaller than this as constant."""

Stats = dict[str, dict[str, Any]]
"""Feature -> statistic -> values, as LeRobotDatasetMetadata.stats has them."""


def prepare_stats(stats: Stats, cloud_channels: int, depth_to_cloud: DepthToCloudConfig | None = None) -> Stats:
    """Fit dataset statistics to a point-cloud policy, in place and idempotently.

    In place, because LeRobot hands one and the same object first to the policy and then to its processors, and
    when fine-tuning it never asks the policy for processors: a copy would be bypassed there.

    Args:
        stats: Changed: the cloud stands under `observation.point_cloud` with `cloud_channels` channels, and
            constant channels of every feature are widened by `widen_constant_channels`.
        cloud_channels: 3 for xyz, 6 with colour.
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
        if "min" in feature and "max" in feature:
            feature["min"], feature["max"] = widen_constant_channels(
                np.asarray(feature["min"]), np.asarray(feature["max"])
            )
    return stats


def widen_constant_channels(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let channels that hardly move normalise to 0 at unit scale.

    LeRobot only guards against a range of exactly 0: a channel that moved by 1e-5 in the demonstrations would
    turn sensor noise into a value of several hundred. DP3 gives such a channel scale 1 and offset -min; the
    range [min - 1, min + 1] does the same in LeRobot's normaliser.

    Args:
        low: Smallest values (C,).
        high: Largest values (C,).

    Returns:
        (low, high) with ranges below `RANGE_FLOOR` widened.
    """
    constant = (high - low) < RANGE_FLOOR
    return np.where(constant, low - 1, low), np.where(constant, low + 1, high)
