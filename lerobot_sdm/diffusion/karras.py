"""The EDM formulation of diffusion (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative
Models").

Noise of standard deviation sigma is added to clean samples without rescaling them: x_sigma = x_0 + sigma eps. Four
functions of sigma turn a network F into a denoiser D (eq. 7). Samples follow dx / dsigma = (x - D(x, sigma)) / sigma
(eq. 1 and 3) from large to small sigma. Noise levels are also counted in bins, from 0 (pure noise) to bins - 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from diffusers.schedulers.scheduling_edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler
from torch import Tensor

from lerobot_sdm.diffusion.distance import distance

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x (B, T, A), sigma (B,)) -> estimate of x_0 (B, T, A)."""


@dataclass(frozen=True)
class NoiseLevels:
    """The noise levels of a policy.

    Args:
        sigma_min: Smallest standard deviation of the noise, in normalized action units.
        sigma_max: Largest.
        rho: Bins are evenly spaced in sigma^(1/rho).
        bins: Number of levels.
        sigma_data: Standard deviation of the data.
        boundary: Whether the denoiser is the identity at `sigma_min` (Song et al. 2023, "Consistency Models",
            appendix C) instead of at 0, as in Karras et al.
    """

    sigma_min: float = 0.02
    sigma_max: float = 80.0
    rho: float = 7.0
    bins: int = 80
    sigma_data: float = 0.5
    boundary: bool = True


class Preconditioning(NamedTuple):
    """The four functions of sigma, each of shape (B, 1, 1) except the last, which is (B,)."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def sigma_of_bin(k: Tensor, levels: NoiseLevels) -> Tensor:
    """Noise (...) float32 of bins (...), possibly fractional (Karras et al., eq. 5); bins beyond the last equal it."""
    high, low = levels.sigma_max ** (1 / levels.rho), levels.sigma_min ** (1 / levels.rho)
    sigma = (high + k.float() / (levels.bins - 1) * (low - high)) ** levels.rho
    return sigma.clamp(levels.sigma_min, levels.sigma_max)


def preconditioning(sigma: Tensor, levels: NoiseLevels) -> Preconditioning:
    """c_skip, c_out, c_in and c_noise (Karras et al., table 1; with the boundary: Song et al. 2023, appendix C).

    c_noise is a thousand times that of Karras et al., so that a sinusoidal embedding meant for timesteps resolves it.
    """
    data, above = levels.sigma_data, sigma - levels.sigma_min if levels.boundary else sigma
    total = (sigma**2 + data**2).sqrt()
    functions = (data**2 / (above**2 + data**2), above * data / total, 1 / total)
    c_skip, c_out, c_in = (f.view(-1, 1, 1) for f in functions)
    return Preconditioning(c_skip, c_out, c_in, c_noise=250 * sigma.log())


def denoise(network: Denoiser, x: Tensor, sigma: Tensor, levels: NoiseLevels) -> Tensor:
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise) (Karras et al., eq. 7), for samples x (B, T, A) with noise
    sigma (B,). The network is F under fixed conditioning, (x (B, T, A), c_noise (B,)) -> (B, T, A)."""
    c = preconditioning(sigma, levels)
    return c.c_skip * x + c.c_out * network(c.c_in * x, c.c_noise)


def add_noise(x0: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """x_sigma = x_0 + sigma eps: (B, T, A), (B, T, A), (B,) -> (B, T, A)."""
    return x0 + sigma.view(-1, 1, 1) * noise


def log_normal_sigmas(count: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Draw noise levels (count,) for training, on the generator's device: log-normal (Karras et al., table 1)."""
    return (mean + std * torch.randn(count, generator=generator, device=generator.device)).exp()


def denoising_loss(
    predicted: Tensor, x0: Tensor, sigma: Tensor, levels: NoiseLevels, norm: str, real: Tensor | None = None
) -> Tensor:
    """Error of a denoiser, weighted by (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al., table 1).

    Args:
        predicted: D(x_sigma, sigma) (B, T, A).
        x0: Clean samples (B, T, A).
        sigma: (B,).
        levels: Noise levels.
        norm: One of `distance.NORMS`.
        real: Which steps count (B, T); None for all.
    """
    weight = (sigma**2 + levels.sigma_data**2) / (sigma * levels.sigma_data) ** 2
    return (weight * distance(predicted, x0, norm, real)).mean()


# ---- sampling ------------------------------------------------------------------------------------------


def sampler_sigmas(steps: int, levels: NoiseLevels) -> Tensor:
    """Noise levels before and after a sampler's steps, from `sigma_max` to `sigma_min`: (steps + 1,). With bins - 1
    steps, these are the bins."""
    return sigma_of_bin(torch.linspace(0, levels.bins - 1, steps + 1), levels)


def euler_step(denoiser: Denoiser, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """One step of the probability flow from samples (B, T, A) at noise `sigma` (B,) to `sigma_next` (B,), first order
    (Karras et al., algorithm 1, lines 4 and 5). If both are equal, the sample does not change."""
    slope = (x - denoiser(x, sigma)) / sigma.view(-1, 1, 1)
    return x + (sigma_next - sigma).view(-1, 1, 1) * slope


def heun_step(denoiser: Denoiser, x: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """The same, second order: averages the slopes at both ends (Karras et al., algorithm 1). Two evaluations."""
    slope = (x - denoiser(x, sigma)) / sigma.view(-1, 1, 1)
    step = (sigma_next - sigma).view(-1, 1, 1)
    end = x + step * slope
    return x + step * 0.5 * (slope + (end - denoiser(end, sigma_next)) / sigma_next.view(-1, 1, 1))


class _DenoisedSolver(EDMDPMSolverMultistepScheduler):
    """diffusers' DPM-Solver++ (Lu et al. 2022) for a denoiser that is already preconditioned."""

    def convert_model_output(self, model_output: Tensor, sample: Tensor) -> Tensor:
        return model_output


def _dpm_solver(denoiser: Denoiser, x: Tensor, sigmas: Tensor, order: int) -> Tensor:
    solver = _DenoisedSolver(solver_order=order, final_sigmas_type="sigma_min")
    solver.set_timesteps(len(sigmas) - 1)
    solver.sigmas = sigmas.cpu()
    solver.set_begin_index(0)
    for timestep, sigma in zip(solver.timesteps, sigmas[:-1], strict=True):
        x = solver.step(denoiser(x, sigma.expand(x.shape[0])), timestep, x).prev_sample
    return x


SAMPLERS: dict[str, int] = {"euler": 1, "heun": 2, "dpmpp_2m": 1, "dpmpp_3m": 1}
"""Sampler -> network evaluations per step. The last two are DPM-Solver++ multistep, of second and third order."""


def sample(denoiser: Denoiser, x: Tensor, sigmas: Tensor, sampler: str = "heun") -> Tensor:
    """Follow the probability flow of D, optionally clipped, from x (B, T, A) at `sigmas[0]` to samples at `sigmas[-1]`.

    The noise levels (steps + 1,) are decreasing, above 0 and on the device of `x`; `sampler` is one of `SAMPLERS`.
    """
    if sampler.startswith("dpmpp"):
        return _dpm_solver(denoiser, x, sigmas, order=int(sampler[-2]))
    step = {"euler": euler_step, "heun": heun_step}[sampler]
    for sigma, sigma_next in pairwise(sigmas):
        x = step(denoiser, x, sigma.expand(x.shape[0]), sigma_next.expand(x.shape[0]))
    return x
