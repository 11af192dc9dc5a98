"""The energy score: a loss with which a one-step generator learns a distribution from demonstrations alone."""

import torch
from torch import Tensor

TINY = 1e-12
"""Added to mean squares, so that the gradient of their root is finite for equal samples."""


def energy_score(samples: Tensor, target: Tensor, real: Tensor | None = None) -> Tensor:
    """Energy score (B,) of a generator's samples at one demonstrated chunk per condition; smaller is better.

    E|X - y| - E|X - X'| / 2 for independent samples X and X', with |.| the root mean square over a chunk's entries
    (Gneiting and Raftery 2007, JASA 102, 359-378, eq. 21; as a training loss: Shen and Meinshausen 2024, "Engression").
    It is strictly proper: averaged over demonstrations y, only their own distribution minimizes it. The first term
    draws samples toward the demonstrations, the second drives them apart, so that they do not collapse to a median.

    Args:
        samples: M samples of the generator for each condition (M, B, T, A), M >= 2, from independent start noise.
        target: Demonstrated chunks (B, T, A).
        real: Which steps lie within the episode (B, T), bool; None for all. The others are left out; a chunk without
            any step scores 0.

    Raises:
        ValueError: If there are fewer than two samples per condition.
    """
    count = len(samples)
    if count < 2:
        raise ValueError(f"The energy score needs at least two samples per condition, got {count}.")
    weight = torch.ones_like(target) if real is None else real.unsqueeze(-1).expand_as(target).to(target.dtype)
    weight = weight / weight.sum((1, 2), keepdim=True).clamp_min(1)
    toward = _distance(samples, target, weight).mean(0)
    first, second = torch.triu_indices(count, count, offset=1, device=samples.device)
    apart = _distance(samples[first], samples[second], weight).mean(0)
    return toward - apart / 2


def _distance(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Root mean square difference of chunks: (..., B, T, A), (..., B, T, A), weight (B, T, A) -> (..., B)."""
    return (weight * (a - b).square()).sum((-2, -1)).add(TINY).sqrt()
