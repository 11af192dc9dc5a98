"""What a student of the tests sees, and one step of its training."""

import torch

from lerobot_sdm.policies.sdm.modeling_sdm import SDMPolicy


def batch(size: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "observation.state": torch.rand(size, 2, 9, generator=generator),
        "observation.point_cloud": torch.rand(size, 2, 12, 3, generator=generator),
        "action": torch.zeros(size, 8, 4),
    }


def step(policy: SDMPolicy, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    loss, parts = policy.forward(batch())
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    policy.update()
    return parts
