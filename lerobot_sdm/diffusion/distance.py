"""Distances between action sequences: the error measures of diffusion and consistency training."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lerobot_sdm.diffusion.regression import regression_errors
from lerobot_sdm.errors import InputError

NORMS = ("mse", "pseudo_huber", "released")

HUBER_SCALE = 0.00054
"""c = 0.00054 sqrt(D) for samples of D entries (Song & Dhariwal 2023, sec. 3.3; Prasad et al. 2024, eq. 4)."""


def distance(prediction: Tensor, target: Tensor, norm: str, real: Tensor | None = None) -> Tensor:
    """Error of each sample, in normalized action units.

    * "mse": the mean of e^2 over a sample's entries. Its minimizer is the conditional mean, as required of a denoiser.
    * "pseudo_huber": (sqrt(|e|^2 + c^2) - c) / sqrt(D) with |e| the norm over a sample's D entries (Prasad et al. 2024,
      eq. 4, up to the constant sqrt(D)): linear in all but tiny errors, so its minimizer is a median.
    * "released": the mean of sqrt(e^4 + c^2) - c over entries, as in the published code of Consistency Policy, which
      squares the error twice: like e^2 for |e| far above sqrt(c), about 0.06, and like e^4 below.

    Args:
        prediction: (B, T, A).
        target: (B, T, A).
        norm: One of `NORMS`.
        real: Which steps count (B, T), bool; None for all. The others have no error.

    Returns:
        (B,).
    """
    if real is not None:
        prediction = torch.where(real.unsqueeze(-1), prediction, target)
    if norm == "mse":
        return F.mse_loss(prediction, target, reduction="none").flatten(1).mean(1)
    if norm == "pseudo_huber":
        return regression_errors(prediction, target, HUBER_SCALE) / (2 * HUBER_SCALE)
    if norm == "released":
        squared = (prediction - target).square().flatten(1)
        c = HUBER_SCALE * squared.shape[1] ** 0.5
        return ((squared.square() + c**2).sqrt() - c).mean(1)
    raise InputError(f"norm: '{norm}' is not one of {', '.join(NORMS)}.")
