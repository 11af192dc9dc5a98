"""Find the network of a policy whose calls count as network evaluations (NFE)."""

from typing import Any

from torch import nn


def denoiser_of(policy: Any) -> nn.Module | None:
    """The denoising network of a policy of this package or of LeRobot; None if it has none, like LeRobot's `act`."""
    if policy.config.type == "diffusion":
        return policy.diffusion.unet
    return getattr(policy, "denoiser", None)
