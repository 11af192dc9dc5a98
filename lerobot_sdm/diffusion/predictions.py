"""Prediction types of a denoising network, and the conversion to estimates of the clean sample and the noise.

With x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps (Ho et al. 2020, eq. 4), x_0 determines eps and vice versa.
"""

from typing import NamedTuple

from torch import Tensor

from lerobot_sdm.diffusion.broadcasting import per_row
from lerobot_sdm.errors import InputError

PREDICTION_TYPES = ("sample", "epsilon")

MAX_AMPLIFICATION = 8.0
"""x_0 is not computed from eps where this amplifies errors by more than this factor; see `docs/distillation.md`."""


class Denoised(NamedTuple):
    """A denoiser's estimates, whichever of the two the network predicts.

    Attributes:
        x0: Clean sample (B, T, A).
        eps: Noise (B, T, A).
    """

    x0: Tensor
    eps: Tensor


def read_out(output: Tensor, x_t: Tensor, alpha_bar: Tensor, prediction_type: str) -> Denoised:
    """Compute both estimates from the network's prediction.

    The error of x_0 is `amplification` times that of a predicted eps, see `last_readable_timestep`.

    Args:
        output: The network's output (B, T, A).
        x_t: The network's input (B, T, A).
        alpha_bar: Signal power of each sample's noise level (B,).
        prediction_type: One of `PREDICTION_TYPES`.
    """
    alpha_bar = per_row(alpha_bar, x_t)
    signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    if prediction_type == "sample":
        return Denoised(output, (x_t - signal * output) / noise)
    if prediction_type == "epsilon":
        return Denoised((x_t - noise * output) / signal, output)
    raise InputError(f"prediction_type: '{prediction_type}' is not one of {', '.join(PREDICTION_TYPES)}.")


def training_target(x0: Tensor, eps: Tensor, prediction_type: str) -> Tensor:
    """Regression target of a network of this prediction type: x_0 or eps, each (B, T, A)."""
    return {"sample": x0, "epsilon": eps}[prediction_type]


def amplification(alpha_bar: Tensor) -> Tensor:
    """Factor by which an error of eps is amplified in x_0: sqrt((1 - alpha_bar) / alpha_bar).

    It follows from x_0 = (x_t - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar). For the squared cosine schedule with 100
    levels: 1 at t = 49, 2 at 70, 7 at 90, 32 at 97 and 2,000 at 99.
    """
    return ((1 - alpha_bar) / alpha_bar).sqrt()


def last_readable_timestep(alphas_cumprod: Tensor, prediction_type: str) -> int:
    """Noisiest timestep at which an estimate of x_0 is meaningful, given signal powers (T_train,): the last one for
    "sample"; for "epsilon" the last with an amplification of at most `MAX_AMPLIFICATION`."""
    if prediction_type == "sample":
        return len(alphas_cumprod) - 1
    return int((amplification(alphas_cumprod) <= MAX_AMPLIFICATION).sum()) - 1
