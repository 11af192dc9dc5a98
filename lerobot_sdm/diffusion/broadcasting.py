"""One number for each row of a batch."""

import torch
from torch import Tensor


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) as (B, 1, ...), to be multiplied with `like` (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def same_timestep(t: int, like: Tensor) -> Tensor:
    """The same timestep for every row: (B,) int64 on the device of `like` (B, ...)."""
    return torch.full(like.shape[:1], t, dtype=torch.long, device=like.device)
