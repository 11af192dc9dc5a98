"""Score and distribution matching: the gradient that moves a one-step generator toward its teacher.

With x = G(z) and x_t its diffusion, the gradient of KL(generator || teacher) with respect to x is
w sqrt(alpha_bar) (score_fake - score_real): the scores of the two diffused distributions, a weight w per noise level,
and dx_t/dx (Yin et al. 2024, "One-step Diffusion with Distribution Matching Distillation", eq. 7). For denoisers that
predict x_0, score = -(x_t - sqrt(alpha_bar) mu) / (1 - alpha_bar), so that
score_fake - score_real = sqrt(alpha_bar) (mu_fake - mu_real) / (1 - alpha_bar).

The paper's weight, w = (1 - alpha_bar) / sqrt(alpha_bar) / mean|x - mu_real| (eq. 8), inserted into eq. 7 gives
sqrt(alpha_bar) (mu_fake - mu_real) / mean|x - mu_real|. The paper's Algorithm 2 and the code released with DMD2 (Yin et
al. 2024b) omit this square root, and so does this module.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from lerobot_sdm.diffusion.broadcasting import per_row
from lerobot_sdm.errors import InputError

WEIGHTINGS = ("per_sample", "none", "released")


def distribution_matching_gradient(
    x: Tensor,
    x_t: Tensor,
    mu_real: Tensor,
    mu_fake: Tensor,
    alpha_bar: Tensor,
    weighting: str = "per_sample",
    floor: float = 0.0,
) -> Tensor:
    """Gradient in action space (B, T, A), which the generator's sample should descend.

    * "per_sample": (mu_fake - mu_real) / max(mean|x - mu_real|, floor), the mean over each sample's own
      entries (Yin et al. 2024, Algorithm 2). The floor, in normalized action units, prevents huge steps where
      generator and teacher already agree: without it, an almost deterministic conditional only gets noisier.
    * "none": mu_fake - mu_real.
    * "released": (score_fake - score_real) / mean|score_real|, one scalar for the whole batch and no dx_t/dx, as
      in the published SDM code. Nearly all weight is on the least noisy levels, which collapses a bimodal
      conditional.

    Args:
        x: Generator samples (B, T, A), without gradient.
        x_t: The same samples diffused to their noise levels (B, T, A).
        mu_real: The teacher's estimate of x_0 from x_t (B, T, A).
        mu_fake: The fake-score network's estimate (B, T, A).
        alpha_bar: Signal power of each sample's noise level (B,).
        weighting: One of `WEIGHTINGS`.
        floor: Smallest normalizer of "per_sample".
    """
    difference = mu_fake - mu_real
    if weighting == "per_sample":
        scale = (x - mu_real).abs().flatten(1).mean(1).clamp_min(max(floor, 1e-8))
        return difference / per_row(scale, x)
    if weighting == "none":
        return difference
    if weighting == "released":
        alpha_bar = per_row(alpha_bar, x)
        score_real = (alpha_bar.sqrt() * mu_real - x_t) / (1 - alpha_bar)
        return alpha_bar.sqrt() / (1 - alpha_bar) * difference / score_real.abs().mean()
    raise InputError(f"weighting: '{weighting}' is not one of {', '.join(WEIGHTINGS)}.")


def surrogate_loss(x: Tensor, gradient: Tensor) -> Tensor:
    """Scalar whose gradient with respect to samples x (B, T, A) is `gradient` (B, T, A) over the number of entries."""
    target = (x - torch.nan_to_num(gradient)).detach()
    return 0.5 * F.mse_loss(x, target)
