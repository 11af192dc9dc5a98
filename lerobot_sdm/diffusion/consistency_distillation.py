"""Consistency distillation of a variance-preserving diffusion teacher, as ManiCM (Lu et al. 2024) applies it to DP3.

A consistency function f(x_t, t) gives the clean end of the teacher's trajectory through x_t. It is trained to be equal
at neighboring points of a trajectory: f(x_t, t) = f(x_s, s), where one step of the teacher's solver leads from x_t to
x_s (Song et al. 2023, "Consistency Models", algorithm 2), and f(x, 0) = x.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lerobot_sdm.diffusion.broadcasting import same_timestep
from lerobot_sdm.diffusion.distance import regression_loss
from lerobot_sdm.diffusion.predictions import Denoised
from lerobot_sdm.diffusion.samplers import Denoiser, clip_sample, ddim_step
from lerobot_sdm.diffusion.schedules import add_noise
from lerobot_sdm.errors import InputError

SOLVER_NOISES = ("estimated", "released")
MAX_STEPS = 4
"""Maximum number of jumps of `consistency_sample` in a policy; the method is meant for few."""

SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0
"""Constants of ManiCM, taken from latent consistency models (Luo et al. 2023)."""


def boundary_scalings(t: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out of f(x, t) = c_skip x + c_out x_0(x, t), which make f(x, 0) = x.

    With u = 10 t and sigma = 0.5: c_skip = sigma^2 / (u^2 + sigma^2), c_out = u / sqrt(u^2 + sigma^2) (Luo et al. 2023,
    "Latent Consistency Models", appendix C). From t = 1 on they hardly differ from 0 and 1. Both are (B, 1, 1).
    """
    scaled = t.view(-1, 1, 1) * TIMESTEP_SCALING
    power = scaled.square() + SIGMA_DATA**2
    return SIGMA_DATA**2 / power, scaled / power.sqrt()


def consistency_function(denoise: Denoiser, x: Tensor, t: Tensor) -> Tensor:
    """f(x_t, t) (B, T, A) of a network that estimates x_0, for noisy samples (B, T, A) at timesteps (B,)."""
    c_skip, c_out = boundary_scalings(t)
    return c_skip * x + c_out * denoise(x, t)


def solver_step(
    x_t: Tensor,
    denoised: Denoised,
    alpha_bar: Tensor,
    alpha_bar_next: Tensor,
    clip: float | None = 1.0,
    noise: str = "estimated",
) -> Tensor:
    """One step of the teacher's solver from x_t to x_s (B, T, A) at the next level.

    * "estimated": DDIM, with the teacher's estimate of the noise in x_t.
    * "released": ManiCM's code also uses the teacher's estimate of x_0 as the noise, so the step ends at
      (sqrt(alpha_bar_next) + sqrt(1 - alpha_bar_next)) x_0: no noise at all, and up to 1.41 times too large.

    Args:
        x_t: Noisy samples (B, T, A).
        denoised: The teacher's estimates at x_t.
        alpha_bar: Signal power of x_t (B,).
        alpha_bar_next: Signal power of the next level (B,).
        clip: Limit of the estimated x_0, None for no clipping.
        noise: One of `SOLVER_NOISES`.
    """
    if noise == "estimated":
        return ddim_step(x_t, denoised.x0, alpha_bar, alpha_bar_next, clip)
    if noise == "released":
        return add_noise(denoised.x0, denoised.x0, alpha_bar_next)
    raise InputError(f"solver_noise: '{noise}' is not one of {', '.join(SOLVER_NOISES)}.")


def consistency_distillation_loss(
    student: Denoiser,
    target: Denoiser,
    teacher: Callable[[Tensor, Tensor], Denoised],
    x0: Tensor,
    noise: Tensor,
    level: Tensor,
    timesteps: Sequence[int],
    alphas_cumprod: Tensor,
    clip: float | None = 1.0,
    delta: float | None = None,
    solver_noise: str = "estimated",
) -> Tensor:
    """Difference between the student and its EMA one solver step further: a scalar.

    Args:
        student: Estimates x_0; the only one that gets a gradient.
        target: EMA of the student.
        teacher: Estimates x_0 and noise.
        x0: Clean samples (B, T, A).
        noise: Standard normal (B, T, A).
        level: Index into `timesteps` for each sample (B,); the step leads to the next one, and from the last to 0.
        timesteps: Levels of the solver, strictly decreasing.
        alphas_cumprod: Signal powers (T_train,).
        clip: Limit of the teacher's x_0.
        delta: See `regression_loss`; None for the squared error.
        solver_noise: See `solver_step`.
    """
    grid = torch.tensor([*timesteps, 0], device=level.device)
    t, s = grid[level], grid[level + 1]
    alpha_bar, alpha_bar_next = alphas_cumprod[t], alphas_cumprod[s]
    x_t = add_noise(x0, noise, alpha_bar)
    with torch.no_grad():
        x_s = solver_step(x_t, teacher(x_t, t), alpha_bar, alpha_bar_next, clip, solver_noise)
        goal = consistency_function(target, x_s, s)
    return regression_loss(consistency_function(student, x_t, t), goal, delta)


def inference_timesteps(timesteps: Sequence[int], steps: int) -> list[int]:
    """Select evenly spaced levels of those that the student was trained at, from the noisiest on."""
    return [timesteps[len(timesteps) * i // steps] for i in range(steps)]


def consistency_sample(
    denoise: Denoiser,
    noise: Tensor,
    timesteps: Sequence[int],
    alphas_cumprod: Tensor,
    clip: float | None = 1.0,
) -> Tensor:
    """Multistep consistency sampling (Song et al. 2023, algorithm 1): jump to the end, add noise, jump again.

    Args:
        denoise: The student's network, which estimates x_0.
        noise: Start noise (B, T, A), as are the samples.
        timesteps: Strictly decreasing; one for a single jump. Further jumps draw from torch's global generator.
        alphas_cumprod: Signal powers (T_train,).
        clip: Limit of each jump's result, None for no clipping.
    """
    x = noise
    for i, step in enumerate(timesteps):
        t = same_timestep(step, x)
        if i > 0:
            x = add_noise(x, torch.randn_like(x), alphas_cumprod[t])
        x = clip_sample(consistency_function(denoise, x, t), clip)
    return x
