"""Variance-preserving noise schedules and the timesteps at which a sampler visits them.

Notation: alpha_bar_t is the signal power left at timestep t, so that
x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps  (Ho et al. 2020, eq. 4).
"""

from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from lerobot_sdm.diffusion.broadcasting import per_row
from lerobot_sdm.errors import InputError, check_known

BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
TIMESTEP_SPACINGS = ("trailing", "leading")


def alphas_cumprod(
    num_train_timesteps: int,
    beta_schedule: str = "squaredcos_cap_v2",
    beta_start: float = 0.0001,
    beta_end: float = 0.02,
) -> Tensor:
    """Signal powers alpha_bar_0 ... alpha_bar_{T-1} (T,) float32, decreasing.

    Args:
        num_train_timesteps: T, the number of noise levels.
        beta_schedule: Name of a diffusers schedule; DP3 uses the squared cosine.
        beta_start: First noise variance of the schedules that have one; the squared cosine has none.
        beta_end: Last noise variance of these schedules.

    Raises:
        InputError: The schedule does not exist.
    """
    check_known("beta_schedule", beta_schedule, BETA_SCHEDULES)
    scheduler = DDIMScheduler(
        num_train_timesteps=num_train_timesteps, beta_schedule=beta_schedule, beta_start=beta_start, beta_end=beta_end
    )
    return scheduler.alphas_cumprod.float()


def add_noise(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Diffuse clean samples (B, T, A) with standard normal noise (B, T, A) to signal powers (B,): x_t (B, T, A)."""
    alpha_bar = per_row(alpha_bar, x0)
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def ddim_timesteps(
    num_train_timesteps: int, num_inference_steps: int, spacing: str = "trailing", start: int | None = None
) -> list[int]:
    """Timesteps of a deterministic sampler in [0, T - 1], strictly decreasing from noisy to clean.

    "trailing" begins at the noisiest level, where the input really is pure noise, and steps down evenly; with one step
    it is only T - 1. "leading" is the released DP3's (90, 80, ... 0 for 10 of 100): its first level expects a little
    signal that pure noise does not contain, and a single step would be at t = 0, which cannot work.

    Args:
        num_train_timesteps: T.
        num_inference_steps: Number of network evaluations, 1 to T.
        spacing: "trailing" or "leading".
        start: First timestep for "trailing" spacing; None for T - 1.

    Raises:
        InputError: A value is out of range.
    """
    if spacing not in TIMESTEP_SPACINGS:
        raise InputError(f"timestep_spacing: '{spacing}' is not one of {', '.join(TIMESTEP_SPACINGS)}.")
    if start is not None and not 0 <= start < num_train_timesteps:
        raise InputError(f"inference_start_timestep: {start} is outside 0 ... {num_train_timesteps - 1}.")
    if start is not None and spacing != "trailing":
        raise InputError(
            f"inference_start_timestep: {start} needs timestep_spacing=trailing; '{spacing}' fixes its own start."
        )
    levels = num_train_timesteps if start is None else start + 1
    if not 1 <= num_inference_steps <= levels:
        raise InputError(f"num_inference_steps: {num_inference_steps} is outside 1 ... {levels}.")
    if spacing == "leading":
        stride = levels // num_inference_steps
        return [i * stride for i in reversed(range(num_inference_steps))]
    return [round(levels * i / num_inference_steps) - 1 for i in range(num_inference_steps, 0, -1)]
