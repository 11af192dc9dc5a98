"""Mean flow (Geng et al. 2025): learn the average velocity of a flow between two times, and jump with it.

On the paths of `flow_matching` with t = 1 at noise, u(z_t, r, t) = 1 / (t - r) times the integral of the velocity from
r to t, for r <= t. It jumps exactly, z_r = z_t - (t - r) u, so that noise minus u(noise, 0, 1) is a sample in one step,
from the whole distribution. Differentiating the definition in t gives the identity that trains it:

    u = v - (t - r) du/dt,   du/dt = (dz/dt = v, dr/dt = 0, dt/dt = 1) applied to u.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from lerobot_sdm.diffusion.broadcasting import per_row
from lerobot_sdm.diffusion.forward_derivative import forward_derivative

AverageVelocity = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(z (B, T, A), r (B,), t (B,), cond (B, F)) -> u (B, T, A)."""

DERIVATIVES = ("forward", "difference")
"""How du/dt is computed: exactly, or by a central difference."""


class TimePairs(NamedTuple):
    """Times of a training step, 0 at data and 1 at noise.

    Attributes:
        r: Where jumps end (B,), at most t.
        t: Where they begin (B,).
        still: Number of leading rows with r = t, which learn plain flow matching.
    """

    r: Tensor
    t: Tensor
    still: int


def _logit_normal(count: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    return (mean + std * torch.randn(count, generator=generator, device=generator.device)).sigmoid()


def _two_logit_normal(count: int, mean: float, std: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both times log-odds normal: MP1, and the first code of Mean Flow."""
    first, second = (_logit_normal(count, mean, std, generator) for _ in range(2))
    return torch.minimum(first, second), torch.maximum(first, second)


def _apart(count: int, mean: float, std: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """t near the middle, r near data: the later code of Mean Flow ("v1"), whose pairs often span most of the path."""
    t = _logit_normal(count, -0.6, 1.6, generator)
    return torch.minimum(_logit_normal(count, -4.0, 1.6, generator), t), t


def _uniform(count: int, mean: float, std: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both times uniform."""
    first, second = (torch.rand(count, generator=generator, device=generator.device) for _ in range(2))
    return torch.minimum(first, second), torch.maximum(first, second)


TIME_SAMPLERS = {"mp1": _two_logit_normal, "v1": _apart, "uniform": _uniform}
"""Name -> function of (B, mean, std, generator) that draws r and t; only "mp1" uses mean and std of the log-odds."""


def draw_time_pairs(
    count: int,
    sampler: str,
    generator: torch.Generator,
    still_share: float = 0.5,
    endpoint_share: float = 0.0,
    mean: float = -0.4,
    std: float = 1.0,
) -> TimePairs:
    """Draw the times of a training step. The first rows are those with r = t, the last ones those with r = 0 and t = 1;
    rows of a batch are in random order anyway.

    Args:
        count: B.
        sampler: One of `TIME_SAMPLERS`.
        generator: The result is on its device.
        still_share: Share of rows with r = t, rounded down to whole rows.
        endpoint_share: Share of rows with r = 0 and t = 1, the jump that a one-step policy makes; likewise.
        mean: Mean of the log-odds, for "mp1".
        std: Their standard deviation.
    """
    r, t = TIME_SAMPLERS[sampler](count, mean, std, generator)
    still, ends = int(still_share * count), int(endpoint_share * count)
    r[:still] = t[:still]
    r[count - ends :], t[count - ends :] = 0, 1
    return TimePairs(r, t, still)


@torch.no_grad()
def mean_flow_target(
    network: AverageVelocity,
    z: Tensor,
    velocity: Tensor,
    times: TimePairs,
    cond: Tensor,
    derivative: str = "forward",
    difference_step: float = 1e-2,
) -> Tensor:
    """What u(z, r, t) should be (B, T, A): v - (t - r) du/dt, without a gradient.

    Args:
        network: u.
        z: Points of the paths at times t (B, T, A).
        velocity: Their velocity v (B, T, A), noise minus actions.
        times: r and t. Rows with r = t cost nothing: their target is v.
        cond: (B, F).
        derivative: One of `DERIVATIVES`.
        difference_step: Of "difference", in time. 1e-2 fits times that the network sees unscaled; take 1e-3 for times
            scaled by 100.
    """
    target, rows = velocity.clone(), slice(times.still, None)
    z, v, r, t, cond = z[rows], velocity[rows], times.r[rows], times.t[rows], cond[rows]
    if len(z):
        if derivative == "forward":
            change = forward_derivative(lambda z, t: network(z, r, t, cond), (z, t), (v, torch.ones_like(t)))
        else:
            change = difference(lambda z, t: network(z, r, t, cond), z, t, v, difference_step)
        target[rows] -= per_row(t - r, z) * change
    return target


def difference(function: Callable[[Tensor, Tensor], Tensor], z: Tensor, t: Tensor, v: Tensor, step: float) -> Tensor:
    """d/ds of function(z + s v, t + s) (B, T, A) at s = 0, by a central difference with a step of time to each side; at
    the ends of 0 ... 1, one-sided. z and v are (B, T, A), t is (B,)."""
    after, before = (t + step).clamp(max=1), (t - step).clamp(min=0)
    ends = [function(z + per_row(time - t, z) * v, time) for time in (after, before)]
    return (ends[0] - ends[1]) / per_row(after - before, z)


def guided_velocity(network: AverageVelocity, z: Tensor, v: Tensor, t: Tensor, cond: Tensor, guidance: float) -> Tensor:
    """w v + (1 - w) u(z, t, t), which the released MP1 regresses on with guidance w = 2; v itself (B, T, A) for w = 1.

    Both velocities have the same condition, so this guides nowhere: if u is right, the mean is v's. Gradients double.
    """
    if guidance == 1:
        return v
    with torch.no_grad():
        return guidance * v + (1 - guidance) * network(z, t, t, cond)


def adaptive_loss(errors: Tensor, power: float, eps: float) -> Tensor:
    """Mean of errors (B,), each divided by (error + eps)^power, through which no gradient flows: scalar.

    With squared errors, power 0.5 weighs like their root. With power 1 the value is nearly constant.
    """
    return (errors / (errors.detach() + eps).pow(power)).mean()


def dispersive_loss(features: Tensor, temperature: float) -> Tensor:
    """log of the mean of exp(-D / temperature) over all pairs of a batch, with D their squared distance divided by the
    largest: pushes the features (B, ...) of a batch apart (Wang and He 2025, as in MP1). At most 0, and 0 for a
    batch of one."""
    flat = features.flatten(1)
    flat = flat - flat.detach().mean(0)  # Differences are the same, and their rounding is smaller.
    squares = flat.square().sum(1)
    distances = (squares + squares.unsqueeze(1) - 2 * flat @ flat.T).clamp_min(0)
    scaled = distances / distances.max().clamp_min(torch.finfo(flat.dtype).tiny)
    return (-scaled / temperature).exp().mean().log()


def direction_loss(u: Tensor, velocity: Tensor, real: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """-log((cos + 1) / 2) with the cosine between predicted u and velocity, both (B, T, A), over whole chunks (OMP): 0
    if parallel. `real` says which steps count (B, T), None for all; `eps` is the least norm and argument of the log."""
    if real is not None:
        u, velocity = (real.unsqueeze(-1) * value for value in (u, velocity))
    cos = torch.cosine_similarity(u.flatten(1), velocity.flatten(1), eps=eps)
    return -((cos + 1) / 2).clamp_min(eps).log().mean()


def jump_sample(network: Callable[[Tensor, Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Jump from noise (B, T, A) at t = 1 to data at t = 0 in jumps of equal length; one for a one-step policy.

    The network is u under fixed conditioning, a function of z (B, T, A), r (B,) and t (B,).
    """
    z = noise
    for step in range(steps):
        t, r = (torch.full(z.shape[:1], 1 - k / steps, device=z.device, dtype=z.dtype) for k in (step, step + 1))
        z = z - per_row(t - r, z) * network(z, r, t)
    return z
