"""Distances between sets of action samples, one number per condition. Pure torch."""

import torch
from torch import Tensor

# The matrix-product shortcut of cdist loses precision for samples that lie close together.
EXACT = "donot_use_mm_for_euclid_dist"


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased energy distance between two sets of samples, condition by condition.

    2 E|X - Y| - E|X - X'| - E|Y - Y'| with Euclidean norms, where a sample is never compared with itself
    (U-statistics), so that two sample sets from one distribution give zero on average and single values may
    be slightly negative. Its expectation is zero only for equal distributions. Source of the definition:
    Székely and Rizzo (2013), Journal of Statistical Planning and Inference 143, 1249-1272.

    Args:
        x: Samples (K, M, D): K conditions, M samples each, D dimensions.
        y: Samples (K, M', D) for the same conditions.

    Returns:
        (K,) in the unit of the samples.

    Raises:
        ValueError: If the shapes do not fit or a set has fewer than two samples.
    """
    _check_shapes(x, y)
    across = torch.cdist(x, y, compute_mode=EXACT).mean(dim=(1, 2))
    return 2 * across - _mean_pair_distance(x) - _mean_pair_distance(y)


def distance_to_point(x: Tensor, y: Tensor) -> Tensor:
    """Energy distance between samples and a distribution known by one draw, minus that distribution's own spread.

    2 E|X - y| - E|X - X'|, twice the energy score of Gneiting and Raftery (2007), JASA 102, 359-378, which is strictly
    proper: averaged over draws y, it is smallest if x comes from the distribution of y. The energy distance's remaining
    term, - E|Y - Y'|, is the same for every x, so differences between policies are differences of energy distances.

    Args:
        x: Samples (K, M, D): K conditions, M samples each, D dimensions.
        y: One draw for each condition (K, D).

    Returns:
        (K,) in the unit of the samples.

    Raises:
        ValueError: If the shapes do not fit or there are fewer than two samples.
    """
    if y.ndim != 2:
        raise ValueError(f"Needs one draw for each condition, (K, D), got {tuple(y.shape)}.")
    _check_shapes(x, y.unsqueeze(1))
    across = torch.cdist(x, y.unsqueeze(1), compute_mode=EXACT).mean(dim=(1, 2))
    return 2 * across - _mean_pair_distance(x)


def spread(x: Tensor) -> Tensor:
    """How much the samples of one condition differ: standard deviation, averaged over dimensions.

    Args:
        x: Samples (K, M, D).

    Returns:
        (K,) in the unit of the samples; zero if start noise does not matter.
    """
    return x.std(dim=1).mean(dim=-1)


def paired_rms(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square difference between samples that were drawn from the same start noise.

    Args:
        x: Samples (K, M, D).
        y: Samples (K, M, D), row by row from the same noise as `x`.

    Returns:
        (K,) in the unit of the samples.
    """
    if x.shape != y.shape:
        raise ValueError(f"Pairs need equal shapes, got {tuple(x.shape)} and {tuple(y.shape)}.")
    return (x - y).square().mean(dim=(1, 2)).sqrt()


def _mean_pair_distance(x: Tensor) -> Tensor:
    """Mean distance between different samples of each condition, (K, M, D) -> (K,)."""
    count = x.shape[1]
    if count < 2:
        raise ValueError("The unbiased distance needs at least two samples for each condition.")
    # The diagonal is zero, so excluding it from the count excludes it from the mean.
    return torch.cdist(x, x, compute_mode=EXACT).sum(dim=(1, 2)) / (count * (count - 1))


def _check_shapes(x: Tensor, y: Tensor) -> None:
    if x.ndim != 3 or y.ndim != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ValueError(f"Needs (K, M, D) and (K, M', D), got {tuple(x.shape)} and {tuple(y.shape)}.")
