"""Exponential moving averages of weights."""

import torch
from torch import nn


def warmup_decay(step: int, power: float = 0.75, max_decay: float = 0.9999) -> float:
    """EMA decay that grows with the number of averaging steps: 1 - step^-power, capped.

    Equals the released EMA of Diffusion Policy and DP3 (`inv_gamma` 1): 0 at steps 0 and 1. `step` is the number of
    optimizer steps before this one.
    """
    return 0.0 if step <= 1 else min(max_decay, 1.0 - float(step) ** -power)


@torch.no_grad()
def update_average(average: nn.Module, source: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * source, over all parameters; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1.0 - decay)
    for kept, new in zip(average.buffers(), source.buffers(), strict=True):
        kept.copy_(new)
