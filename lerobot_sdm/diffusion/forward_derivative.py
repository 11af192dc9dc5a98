"""Derivatives of a network along a direction of its inputs (Jacobian-vector products), without a graph."""

from collections.abc import Callable, Sequence

import torch
import torch.autograd.forward_ad as fwd
from torch import Tensor

Function = Callable[..., Tensor]


@torch.compiler.disable  # A compiled graph would silently lose the tangents.
@torch.no_grad()
def forward_derivative(function: Function, inputs: Sequence[Tensor], tangents: Sequence[Tensor]) -> Tensor:
    """Derivative of a function from tensors to one tensor along a direction (`tangents`, shaped like the inputs), by
    forward-mode differentiation, in layers that torch can differentiate forward; fused attention is not.

    Exact, at the cost of under four evaluations, and without a graph: memory does not grow.
    """
    with fwd.dual_level():
        result = function(*(fwd.make_dual(x, tangent) for x, tangent in zip(inputs, tangents, strict=True)))
        derivative = fwd.unpack_dual(result).tangent
    return torch.zeros_like(result) if derivative is None else derivative


def has_tangent(*tensors: Tensor) -> bool:
    """Whether one of these is an input of a forward derivative, so that results must not come from a cache."""
    return any(fwd.unpack_dual(x).tangent is not None for x in tensors)
