"""A linear layer whose weights may have fewer bits at inference."""

import torch.nn.functional as F
from torch import Tensor, nn


class ReducibleLinear(nn.Linear):
    """`nn.Linear` that `nets.precision` can reduce.

    Attributes:
        product: Replaces `weight` by a product of lower precision; None to use it.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features)
        self.product: nn.Module | None = None

    def matrix(self) -> Tensor:
        """(C_out, C_in)."""
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (..., C_in). Returns: (..., C_out)."""
        return F.linear(x, self.weight, self.bias) if self.product is None else self.product(x) + self.bias
