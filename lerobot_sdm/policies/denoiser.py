"""Find the network of a policy whose calls count as network evaluations (NFE)."""

from typing import Any

from torch import nn


def denoiser_of(policy: Any) -> nn.Module | None:
    """Return a policy's denoising network; None if it has none, like LeRobot's `act`.

    Args:
        policy: A policy of this package, which has the attribute `denoiser`, or one of LeRobot's.
    """
    if policy.config.type == "diffusion":
        return policy.diffusion.unet
    return getattr(policy, "denoiser", None)
