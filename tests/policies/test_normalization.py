"""Statistics: DP3's treatment of constant channels, in LeRobot's normalizer."""

import copy

import numpy as np
import torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.processor import NormalizerProcessorStep

from lerobot_sdm.processors.normalization import prepare_stats, widen_constant_channels

STATE = "observation.state"


def test_constant_channels_normalize_as_in_dp3():
    """Range < 1e-4: scale 1 and offset -min, so the constant maps to 0; other channels to [-1, 1]."""
    stats = {STATE: {"min": np.array([1.0, 0.0, 5.0]), "max": np.array([1.0, 1e-5, 7.0])}}
    prepare_stats(stats, 3)
    step = NormalizerProcessorStep(
        features={STATE: PolicyFeature(FeatureType.STATE, (3,))},
        norm_map={FeatureType.STATE: NormalizationMode.MIN_MAX},
        stats=stats,
    )
    normalize = lambda values: step._normalize_observation({STATE: torch.tensor(values)}, inverse=False)[STATE]  # noqa: E731
    torch.testing.assert_close(normalize([1.0, 0.0, 7.0]), torch.tensor([0.0, 0.0, 1.0]), atol=1e-6, rtol=0)
    # The danger this is about: a hair off a constant must stay a hair.
    torch.testing.assert_close(normalize([1.0001, 1e-3, 5.0]), torch.tensor([1e-4, 1e-3, -1.0]), atol=1e-6, rtol=0)


def test_preparing_twice_changes_nothing_more():
    stats = {
        STATE: {"min": np.array([1.0]), "max": np.array([1.0])},
        "observation.pointcloud": {"min": np.zeros(6), "max": np.ones(6), "count": np.array([9])},
    }
    prepare_stats(stats, 3)
    once = copy.deepcopy(stats)
    prepare_stats(stats, 3)
    assert once.keys() == stats.keys() == {STATE, "observation.point_cloud"}
    assert all(np.array_equal(once[key][k], stats[key][k]) for key in once for k in once[key])
    assert stats["observation.point_cloud"]["min"].shape == (3,)
    assert stats["observation.point_cloud"]["count"] == 9


def test_wide_channels_keep_their_range():
    low, high = widen_constant_channels(np.array([0.0, -3.0]), np.array([1e-4, 3.0]))
    assert low.tolist() == [0.0, -3.0]
    assert high.tolist() == [1e-4, 3.0]
