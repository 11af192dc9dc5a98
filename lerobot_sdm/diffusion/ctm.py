"""Consistency trajectory models (Kim et al. 2023): jumps from any noise level t to any lower one s.

A student G(x, t, s) learns to jump to the point at noise s on the teacher's probability flow through x at noise t.
Consistency Policy (Prasad et al. 2024) distills a policy this way; the jump from pure noise to none is a one-step
policy. t, u and s below are levels with t >= u >= s in noise.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lerobot_sdm.diffusion.distance import distance
from lerobot_sdm.diffusion.karras import (
    Denoiser,
    NoiseLevels,
    add_noise,
    heun_step,
    log_normal_sigmas,
    preconditioning,
    sigma_of_bin,
)
from lerobot_sdm.diffusion.samplers import clip_sample

Jump = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x (B, T, A), sigma_t (B,), sigma_s (B,)) -> x at sigma_s (B, T, A)."""

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(c_in x (B, T, A), c_noise(t) (B,), c_noise(s) (B,)) -> (B, T, A), under fixed conditioning."""


class Times(NamedTuple):
    """Bins (B,) int64 of a training step: where it starts, where the teacher stops, where the jump ends."""

    t: Tensor
    u: Tensor
    s: Tensor


def estimate(network: Network, x: Tensor, t: Tensor, s: Tensor, levels: NoiseLevels) -> Tensor:
    """g(x, t, s): the target (B, T, A) of the jump from samples x (B, T, A) at noise t (B,) to noise s (B,), at most t.

    The raw network gets preconditioned at t. For s = t, g is the denoiser (Kim et al. 2023).
    """
    c, stop = preconditioning(t, levels), preconditioning(s, levels)
    return c.c_skip * x + c.c_out * network(c.c_in * x, c.c_noise, stop.c_noise)


def jump(network: Network, x: Tensor, t: Tensor, s: Tensor, levels: NoiseLevels) -> Tensor:
    """G(x, t, s) = (s / t) x + (1 - s / t) g(x, t, s) (Kim et al. 2023), with the arguments of `estimate`.

    For s = t it is x itself, whatever the network.
    """
    ratio = (s / t).view(-1, 1, 1)
    return ratio * x + (1 - ratio) * estimate(network, x, t, s, levels)


def draw_times(count: int, levels: NoiseLevels, max_solver_steps: int, generator: torch.Generator) -> Times:
    """Draw random times: t from all bins except the end, s from t to the end, u from t to s but at most
    `max_solver_steps` beyond t. With 1, this is the "CTM-local" of Prasad et al. 2024.

    Args:
        count: B.
        levels: Noise levels. The end is the bin `levels.bins`, which has the same noise as the last bin.
        max_solver_steps: Maximum steps of the teacher's solver between t and u.
        generator: The result is on its device.
    """

    def uniform(low: Tensor, high: Tensor) -> Tensor:
        share = torch.rand(count, generator=generator, device=generator.device)
        return low + (share * (high - low + 1)).long().clamp_max(high - low)

    first = torch.zeros(count, dtype=torch.long, device=generator.device)
    t = uniform(first, first + levels.bins - 1)
    s = uniform(t, torch.full_like(t, levels.bins))
    u = torch.minimum(uniform(t, s), t + max_solver_steps)
    return Times(t, u, s)


@torch.no_grad()
def solve(teacher: Denoiser, x: Tensor, times: Times, levels: NoiseLevels, max_solver_steps: int) -> Tensor:
    """Follow the teacher's probability flow from bin t to bin u, with Heun steps of one bin: (B, T, A) -> (B, T, A).
    Samples that have reached u take steps of length zero."""
    for i in range(max_solver_steps):
        here, there = (torch.minimum(times.t + k, times.u) for k in (i, i + 1))
        x = heun_step(teacher, x, sigma_of_bin(here, levels), sigma_of_bin(there, levels))
    return x


def ctm_loss(
    student: Jump,
    target: Jump,
    teacher: Denoiser,
    x0: Tensor,
    noise: Tensor,
    times: Times,
    levels: NoiseLevels,
    max_solver_steps: int = 1,
    norm: str = "pseudo_huber",
    real: Tensor | None = None,
) -> Tensor:
    """Consistency of jumps along the teacher's flow (Kim et al. 2023; Prasad et al. 2024): scalar.

    The student jumps from t to s; the target jumps to s from the teacher's solution at u. The target takes both results
    on to clean samples, which are compared. The student's gradient flows through that last jump; the target's own
    parameters must not require gradients.

    Args:
        student: G with the weights that are trained.
        target: G with an EMA or a copy of these weights.
        teacher: D of the teacher.
        x0: Clean samples (B, T, A).
        noise: Standard normal (B, T, A).
        times: From `draw_times`.
        levels: Noise levels.
        max_solver_steps: As `times` were drawn with.
        norm: One of `distance.NORMS`.
        real: Which steps count (B, T); None for all.
    """
    t, u, s = (sigma_of_bin(bins, levels) for bins in times)
    end = torch.full_like(s, levels.sigma_min)
    x_t = add_noise(x0, noise, t)
    x_u = solve(teacher, x_t, times, levels, max_solver_steps)
    reached = target(student(x_t, t, s), s, end)
    with torch.no_grad():
        wanted = target(target(x_u, u, s), s, end)
    return distance(reached, wanted, norm, real).mean()


def dsm_sigmas(count: int, levels: NoiseLevels, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Draw noise levels (count,) for denoising score matching, on the generator's device, as in Consistency Policy:
    half of them from the noisier 70% of the bins' range, uniform in sigma^(1/rho), the others log-normal."""
    noisy = (count + 1) // 2
    share = 0.7 * torch.rand(noisy, generator=generator, device=generator.device)
    return torch.cat(
        [sigma_of_bin(share * (levels.bins - 1), levels), log_normal_sigmas(count - noisy, mean, std, generator)]
    )


def chained_jumps(
    student: Jump, start: Tensor, stops: Sequence[float], levels: NoiseLevels, clip: float | None = 1.0
) -> Tensor:
    """Jump from pure noise to clean samples (B, T, A); then, for each stop, add noise up to it and jump again.

    The first jump starts from the given noise; later noise is drawn from torch's global generator, as in an ancestral
    sampler.

    Args:
        student: G.
        start: At `sigma_max` (B, T, A).
        stops: Decreasing noise of the further jumps; empty for a one-step policy.
        levels: Noise levels.
        clip: Limit of clean samples, None for no clipping.
    """
    x, end = start, torch.full(start.shape[:1], levels.sigma_min, device=start.device)
    for sigma in (levels.sigma_max, *stops):
        level = torch.full_like(end, sigma)
        if sigma != levels.sigma_max:
            x = add_noise(x, torch.randn_like(x), level)
        x = clip_sample(student(x, level, end), clip)
    return x
