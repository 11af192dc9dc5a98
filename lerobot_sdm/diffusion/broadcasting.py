"""One factor for each row of a batch."""

from torch import Tensor


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) as (B, 1, ...), to be multiplied with `like` (B, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
