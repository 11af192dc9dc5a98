"""Drifting (arXiv 2602.04770; for actions: arXiv 2604.03540): in each training step, move a generator's samples along a
field that points to demonstrations and away from the other samples of the same observation.

Where the samples' distribution is the demonstrations', the two pulls cancel. With one demonstration per observation
this holds only approximately: what keeps the modes of similar observations apart is that the samples of one observation
compete for its demonstration.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = ("chunk", "step", "dim")
"""What drifts as one vector: a whole chunk, each of its steps, or each dimension of the action over its steps."""

SELF_DISTANCE = 100.0
"""Added to the normalized distance of a sample to itself, so that it does not repel itself."""
SMALLEST_UNIT = 1e-3
SMALLEST_FORCE = 1e-4


class Drift(NamedTuple):
    """The field at a batch's samples, for each of K groups.

    Attributes:
        field: V (K, B, G, S), in units of `unit`; its root mean square is about the number of temperatures.
        unit: Scale of the samples (K, 1, 1, 1), in normalized action units: about their distances per entry.
        forces: Root mean square of the field of each temperature before it is normalized (K, R).
    """

    field: Tensor
    unit: Tensor
    forces: Tensor


def grouped(chunks: Tensor, group: str) -> Tensor:
    """Split chunks (B, G, T, A) into vectors (K, B, G, S) that drift on their own; see `GROUPS`."""
    if group == "chunk":
        return chunks.flatten(2).unsqueeze(0)
    return chunks.permute(2, 0, 1, 3) if group == "step" else chunks.permute(3, 0, 1, 2)


def affinities(distances: Tensor, temperature: float, floor: float) -> Tensor:
    """Geometric mean of the softmax over candidates and the softmax over samples: (..., G, C) -> (..., G, C).

    Args:
        distances: Normalized, of G samples to C candidates.
        temperature: Above 0.
        floor: Smallest product of the two; 0 computes their logarithms, which do not underflow one by one. Above 0,
            even far candidates pull, so that clustered samples follow the mean or median of the demonstrations.
    """
    logits = -distances / temperature
    both = (F.log_softmax(logits, dim=-1) + F.log_softmax(logits, dim=-2)) / 2
    return both.exp().clamp_min(floor**0.5)


def force(samples: Tensor, candidates: Tensor, affinity: Tensor, positives: int) -> Tensor:
    """Where samples are pulled: a+ a- (mean of positives - mean of the others), means and sums by affinity.

    Exactly 0 where all candidates are equal to the sample, since only displacements are added up.

    Args:
        samples: (..., G, S), like the result.
        candidates: (..., C, S), the last ones of which are the positives.
        affinity: (..., G, C).
        positives: Number of positives.
    """
    away, toward = affinity[..., :-positives], affinity[..., -positives:]
    total_away, total_toward = away.sum(-1, keepdim=True), toward.sum(-1, keepdim=True)
    coefficients = torch.cat([-total_toward * away, total_away * toward], dim=-1)
    displacements = candidates.unsqueeze(-3) - samples.unsqueeze(-2)
    return (coefficients.unsqueeze(-1) * displacements).sum(-2)


@torch.no_grad()
def drift(samples: Tensor, positives: Tensor, temperatures: Sequence[float], floor: float = 0.0) -> Drift:
    """The field that moves samples toward the positives of their observation and apart from each other.

    For each temperature, `force` is normalized by its root mean square over the batch; the results are added up. With
    a single sample per observation there is nothing to move apart from.

    Args:
        samples: (K, B, G, S).
        positives: (K, B, P, S), for actions P = 1: the demonstration.
        temperatures: R of them, in units of the mean distance.
        floor: See `affinities`.
    """
    count, size = samples.shape[-2:]
    candidates = torch.cat([samples, positives], dim=-2)
    squared = (samples.unsqueeze(-2) - candidates.unsqueeze(-3)).square().sum(-1)
    distances = squared.clamp_min(1e-8).sqrt()  # (K, B, G, G + P)
    mean = distances.mean((1, 2, 3), keepdim=True)
    unit = (mean / size**0.5).clamp_min(SMALLEST_UNIT)
    itself = torch.eye(count, distances.shape[-1], dtype=distances.dtype, device=distances.device)
    distances = distances / mean.clamp_min(SMALLEST_UNIT) + SELF_DISTANCE * itself
    field, forces = torch.zeros_like(samples), []
    for temperature in temperatures:
        affinity = affinities(distances, temperature, floor)
        pull = force(samples, candidates, affinity, positives.shape[-2]) / unit
        rms = pull.square().mean((1, 2, 3), keepdim=True).sqrt()
        field = field + pull / rms.clamp_min(SMALLEST_FORCE)
        forces.append(rms.flatten())
    return Drift(field, unit, torch.stack(forces, dim=-1))


def drifting_loss(samples: Tensor, found: Drift) -> Tensor:
    """Mean of |x / unit - (x / unit + V)|^2 over samples (K, B, G, S), with the second part and the unit fixed: scalar.

    Its gradient moves samples along V. Its value is the mean square of V, about the squared number of temperatures
    however good the samples are, so it does not measure progress.
    """
    scaled = samples / found.unit
    return F.mse_loss(scaled, (scaled + found.field).detach())


@torch.no_grad()
def spread(samples: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Variance of samples (B, G, T, A), G >= 2, around their mean, and the squared distance of that mean from the
    demonstrations (B, T, A); per entry and averaged over the batch, in normalized action units.

    If samples were drawn from the demonstrations' distribution, the two would have the ratio G / (G + 1).
    """
    return samples.var(1).mean(), (samples.mean(1) - target).square().mean()
