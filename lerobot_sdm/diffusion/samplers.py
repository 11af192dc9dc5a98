"""Samplers as pure functions of a denoiser, start noise and a list of timesteps."""

from collections.abc import Callable, Sequence

from torch import Tensor

from lerobot_sdm.diffusion.broadcasting import per_row, same_timestep

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, T, A), t (B,) int64) -> estimate of x_0 (B, T, A)."""


def clip_sample(x: Tensor, limit: float | None) -> Tensor:
    """Clamp to [-limit, limit], the range of min-max normalized actions; None for no clipping."""
    return x if limit is None else x.clamp(-limit, limit)


def ddim_step(
    x_t: Tensor, predicted: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor, clip: float | None = 1.0
) -> Tensor:
    """One step of deterministic DDIM to samples (B, T, A) at the next level (Song et al. 2021, eq. 12 with sigma = 0).

    As in diffusers, and so in DP3, the noise direction comes from the unclipped prediction and the signal from the
    clipped one.

    Args:
        x_t: Noisy samples (B, T, A).
        predicted: Estimate of x_0 (B, T, A).
        alpha_bar: Signal power of x_t: (B,), or one for all.
        alpha_bar_next: Signal power of the level that the step leads to: (B,), or one for all.
        clip: Limit of the prediction, None for no clipping.
    """
    a, a_next = (per_row(power, x_t) for power in (alpha_bar, alpha_bar_next))
    eps = (x_t - a.sqrt() * predicted) / (1 - a).sqrt()
    return a_next.sqrt() * clip_sample(predicted, clip) + (1 - a_next).sqrt() * eps


def ddim_sample(
    denoise: Denoiser,
    noise: Tensor,
    timesteps: Sequence[int],
    alphas_cumprod: Tensor,
    clip: float | None = 1.0,
) -> Tensor:
    """Deterministic DDIM for a denoiser that estimates x_0, step by `ddim_step`.

    The last step ends at alpha_bar = 1, so its (clipped) prediction is the sample. With a single timestep, the result
    is the one-step DDIM sample.

    Args:
        denoise: Network under fixed conditioning.
        noise: Start of the trajectory (B, T, A), standard normal, shaped like the samples.
        timesteps: Strictly decreasing.
        alphas_cumprod: Signal powers (T_train,).
        clip: Limit of each prediction, None for no clipping.
    """
    x = noise
    for t, t_next in zip(timesteps, [*timesteps[1:], None], strict=True):
        predicted = denoise(x, same_timestep(t, x))
        if t_next is None:
            return clip_sample(predicted, clip)
        x = ddim_step(x, predicted, alphas_cumprod[t], alphas_cumprod[t_next], clip)
    raise ValueError("timesteps: at least one is needed")
