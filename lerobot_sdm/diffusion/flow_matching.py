"""Flow matching: straight paths from data at t = 0 to noise at t = 1, and the velocity field that follows them.

z_t = (1 - t) x + t e for clean samples x and standard normal noise e; its velocity is e - x (Lipman et al. 2023, Liu et
al. 2023). At t = 1 the input is independent of x, so the field that minimizes the squared error is e - E[x], and the
single step z - v(z, 1) is the mean of x, whatever its distribution.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lerobot_sdm.diffusion.broadcasting import per_row

Velocity = Callable[[Tensor, Tensor], Tensor]
"""(z (B, T, A), t (B,)) -> velocity (B, T, A)."""

PREDICTIONS = ("velocity", "sample")
"""What a network can predict: e - x, or x."""


def interpolate(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point at time t (B,) of the straight path from x (B, T, A) to noise (B, T, A): (B, T, A)."""
    t = per_row(t, x)
    return (1 - t) * x + t * noise


def shifted_power_times(count: int, power: float, shift: float, generator: torch.Generator) -> Tensor:
    """Draw times with a bias toward noise: w from Beta(power, 1), then t = shift w / (1 + (shift - 1) w).

    With power 1.5 this is the distribution of "Let It Be Simple" (arXiv 2606.05737), with time running from data to
    noise; its parameter a is the shift. Power 1 and shift 1 make it uniform; a large shift gives pure noise. Both must
    be above 0. The times (count,) in 0 ... 1 are on the generator's device.
    """
    uniform = torch.rand(count, generator=generator, device=generator.device)
    w = uniform.pow(1 / power)  # The inverse of Beta(power, 1)'s distribution function, w^power.
    return shift * w / (1 + (shift - 1) * w)


def euler_sample(velocity: Velocity, noise: Tensor, steps: int) -> Tensor:
    """Integrate a field from noise (B, T, A) at t = 1 to data at t = 0 with Euler steps of equal length."""
    z = noise
    for step in range(steps):
        z = z - velocity(z, torch.full(z.shape[:1], 1 - step / steps, device=z.device, dtype=z.dtype)) / steps
    return z


def chunk_means(values: Tensor, real: Tensor | None) -> Tensor:
    """Mean (B,) of values (B, T, A) over each chunk's steps that count (B, T), bool, None for all; 0 if none do."""
    if real is None:
        return values.flatten(1).mean(1)
    weight = real.unsqueeze(-1).to(values.dtype)
    return (weight * values).flatten(1).sum(1) / (values.shape[-1] * real.sum(1)).clamp_min(1)
