"""Distances between action sequences: the error measures of diffusion, consistency and regression training."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lerobot_sdm.errors import InputError

NORMS = ("mse", "pseudo_huber", "released")

HUBER_SCALE = 0.00054
"""c = 0.00054 sqrt(D) for samples of D entries (Song & Dhariwal 2023, sec. 3.3; Prasad et al. 2024, eq. 4)."""


def distance(prediction: Tensor, target: Tensor, norm: str, real: Tensor | None = None) -> Tensor:
    """Error of each sample (B,), in normalized action units.

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


def regression_errors(prediction: Tensor, target: Tensor, delta: float | None) -> Tensor:
    """Squared error, or the pseudo-Huber loss, of each sample (B,) as a whole.

    With the error e = sqrt(mean|prediction - target|^2) of one sample, the loss is
    2 delta (sqrt(e^2 + delta^2) - delta): e^2 for e far below delta, 2 delta e far above (Song & Dhariwal 2023,
    "Improved Techniques for Training Consistency Models", eq. 7, scaled so that small errors weigh as in the squared
    error). If similar start noise leads the teacher to two different modes, the squared error is smallest halfway
    between them, where there is no mode; a linear error is smallest at one of the modes.

    Args:
        prediction: Generator samples (B, T, A).
        target: Teacher samples (B, T, A) from the same start noise.
        delta: Error in normalized action units above which the loss is linear; None for the squared error.
    """
    squared = (prediction - target).square().flatten(1).mean(1)
    if delta is None:
        return squared
    return 2 * delta * ((squared + delta**2).sqrt() - delta)


def regression_loss(prediction: Tensor, target: Tensor, delta: float | None) -> Tensor:
    """Mean of `regression_errors` over the batch: scalar."""
    return regression_errors(prediction, target, delta).mean()
