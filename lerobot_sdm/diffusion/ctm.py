"""Consistency trajectory models (Kim et al. 2023): jumps from any noise level t to any lower one s.

A student G(x, t, s) learns to end where the teacher's probability flow leads from x at noise t: at s. Consistency
Policy (Prasad et al. 2024) trains such a student of a policy, and uses the jump from pure noise to none as a policy of
one step. t, u and s below are levels with t >= u >= s in noise.
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
    denoising_loss,
    heun_step,
    log_normal_sigmas,
    preconditioning,
    sigma_of_bin,
)

Jump = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x (B, T, A), sigma_t (B,), sigma_s (B,)) -> x at sigma_s (B, T, A)."""


class Times(NamedTuple):
    """Bins (B,) int64 of a step of training: where it starts, where the teacher stops, where the jump ends."""

    t: Tensor
    u: Tensor
    s: Tensor


Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(c_in x (B, T, A), c_noise(t) (B,), c_noise(s) (B,)) -> (B, T, A), under fixed conditioning."""


def estimate(network: Network, x: Tensor, t: Tensor, s: Tensor, levels: NoiseLevels) -> Tensor:
    """g(x, t, s): what the jump from t to s aims at. For s = t that is the denoiser (Kim et al. 2023).

    Args:
        network: The network inside, preconditioned at t.
        x: Samples (B, T, A) at noise t.
        t: (B,).
        s: (B,), at most t.
        levels: Noise levels.

    Returns:
        (B, T, A).
    """
    c, stop = preconditioning(t, levels), preconditioning(s, levels)
    return c.c_skip * x + c.c_out * network(c.c_in * x, c.c_noise, stop.c_noise)


def jump(network: Network, x: Tensor, t: Tensor, s: Tensor, levels: NoiseLevels) -> Tensor:
    """G(x, t, s) = (s / t) x + (1 - s / t) g(x, t, s) (Kim et al. 2023), with the arguments of `estimate`.

    For s = t it is x itself, whatever the network.
    """
    ratio = (s / t).view(-1, 1, 1)
    return ratio * x + (1 - ratio) * estimate(network, x, t, s, levels)


def draw_times(count: int, levels: NoiseLevels, max_solver_steps: int, random: torch.Generator) -> Times:
    """Random times: t any bin but for the end, s any from t to the end, u any from t to s but at most
    `max_solver_steps` beyond t. With 1 that is the "CTM-local" of Prasad et al. 2024.

    Args:
        count: B.
        levels: Noise levels. The end is the bin `levels.bins`, which has the noise of the last.
        max_solver_steps: Most steps of the teacher's solver between t and u.
        random: Its device is that of the result.
    """

    def uniform(low: Tensor, high: Tensor) -> Tensor:
        share = torch.rand(count, generator=random, device=random.device)
        return low + (share * (high - low + 1)).long().clamp_max(high - low)

    first = torch.zeros(count, dtype=torch.long, device=random.device)
    t = uniform(first, first + levels.bins - 1)
    s = uniform(t, torch.full_like(t, levels.bins))
    u = torch.minimum(uniform(t, s), t + max_solver_steps)
    return Times(t, u, s)


@torch.no_grad()
def solve(teacher: Denoiser, x: Tensor, times: Times, levels: NoiseLevels, max_solver_steps: int) -> Tensor:
    """The teacher's probability flow from bin t to bin u by Heun steps of one bin: (B, T, A) -> (B, T, A). Samples that
    have arrived take steps of length zero."""
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
    """Consistency of jumps along the teacher's flow (Kim et al. 2023; Prasad et al. 2024).

    The student jumps from t to s, the target from where the teacher's solver is at u. Both ends are taken on to clean
    samples by the target, and compared there. The student's gradient runs through that last jump; the target's own
    parameters must not require any.

    Args:
        student: G with the weights that are trained.
        target: G with an average of them, or a copy.
        teacher: D of the teacher.
        x0: Clean samples (B, T, A).
        noise: Standard normal (B, T, A).
        times: From `draw_times`.
        levels: Noise levels.
        max_solver_steps: As `times` were drawn with.
        norm: One of `distance.NORMS`.
        real: Which steps count (B, T); None for all.

    Returns:
        Scalar.
    """
    t, u, s = (sigma_of_bin(bins, levels) for bins in times)
    end = torch.full_like(s, levels.sigma_min)
    x_t = add_noise(x0, noise, t)
    x_u = solve(teacher, x_t, times, levels, max_solver_steps)
    reached = target(student(x_t, t, s), s, end)
    with torch.no_grad():
        wanted = target(target(x_u, u, s), s, end)
    return distance(reached, wanted, norm, real).mean()


def dsm_sigmas(count: int, levels: NoiseLevels, mean: float, std: float, random: torch.Generator) -> Tensor:
    """Noise levels for `dsm_loss`: half of them from the noisier 70% of the bins' range, evenly in sigma^(1/rho), the
    others log-normal, as Consistency Policy has it.

    Returns:
        (count,), on the generator's device.
    """
    noisy = (count + 1) // 2
    share = 0.7 * torch.rand(noisy, generator=random, device=random.device)
    return torch.cat(
        [sigma_of_bin(share * (levels.bins - 1), levels), log_normal_sigmas(count - noisy, mean, std, random)]
    )


def dsm_loss(
    denoiser: Denoiser,
    x0: Tensor,
    noise: Tensor,
    sigma: Tensor,
    levels: NoiseLevels,
    norm: str = "mse",
    real: Tensor | None = None,
) -> Tensor:
    """Denoising score matching, weighted as for a teacher.

    Args:
        denoiser: What is to learn it from a student: g(x, t, t) (Kim et al. 2023), or the jump G(x, t, sigma_min)
            (Prasad et al. 2024). The second pulls the jump itself to the conditional mean, the more so the noisier t.
        x0: Clean samples (B, T, A).
        noise: Standard normal (B, T, A).
        sigma: From `dsm_sigmas` (B,).
        levels: Noise levels.
        norm: One of `distance.NORMS`.
        real: Which steps count (B, T); None for all.

    Returns:
        Scalar.
    """
    return denoising_loss(denoiser(add_noise(x0, noise, sigma), sigma), x0, sigma, levels, norm, real)


def chained_jumps(
    student: Jump, start: Tensor, stops: Sequence[float], levels: NoiseLevels, clip: float | None = 1.0
) -> Tensor:
    """One jump from pure noise to clean samples; then noise again, to each of the stops, and jump again.

    The first jump starts from the noise that is given; later noise is drawn from torch's global generator, as further
    steps of an ancestral sampler are.

    Args:
        student: G.
        start: At `sigma_max` (B, T, A).
        stops: Decreasing noise of the further jumps; empty for a policy of one step.
        levels: Noise levels.
        clip: Limit of clean samples, None for no clipping.

    Returns:
        Clean samples (B, T, A).
    """
    x, end = start, torch.full(start.shape[:1], levels.sigma_min, device=start.device)
    for sigma in (levels.sigma_max, *stops):
        level = torch.full_like(end, sigma)
        if sigma != levels.sigma_max:
            x = add_noise(x, torch.randn_like(x), level)
        x = student(x, level, end)
        x = x if clip is None else x.clamp(-clip, clip)
    return x
