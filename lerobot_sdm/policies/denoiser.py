"""Where a policy has the network whose calls are its network evaluations (NFE)."""

from typing import Any

from torch import nn


def denoiser_of(policy: Any) -> nn.Module | None:
    """That network; None where no network is called in steps, as in LeRobot's `act`.

    Args:
        policy: One of this package, which has it as `denoiser`, or LeRobot's.
    """
    if policy.config.type == "diffusion":
        return policy.diffusion.unet
    return getattr(policy, "denoiser", None)
