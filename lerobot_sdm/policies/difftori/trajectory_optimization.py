"""Optimize action chunks under a learned reward by damped Gauss-Newton steps, which are differentiable.

The objective of one chunk `a` is half the square of a scalar residual `r = offset - R(a)`. Its Jacobian is a single
row, so the Levenberg-Marquardt matrix is a multiple of the identity plus a rank-one matrix, and the system has a
closed-form solution: no solver, no factorization, cost linear in the size of the chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Reward = Callable[[Tensor, Tensor], Tensor]
"""Rewards (B,) of action chunks (B, T, A) in contexts (B, H); each depends only on its own chunk and context."""


@dataclass(frozen=True)
class Optimization:
    """Settings of the optimization.

    Args:
        iterations: Number of Levenberg-Marquardt steps.
        step_size: Fraction of each step that is taken.
        damping: Added to the squared norm of the reward's gradient; see `damped_step`.
        offset: Offset of the residual; if it is far above all rewards, it only scales the steps.
        clip_range: The reward sees actions clipped to plus and minus this, and has no gradient beyond; None for no
            clipping.
        recorded: Number of last steps that gradients flow through; earlier ones count as constant.
    """

    iterations: int
    step_size: float
    damping: float
    offset: float
    clip_range: float | None
    recorded: int


def damped_step(gradient: Tensor, residual: Tensor, damping: float, group: int = 1) -> Tensor:
    """Solve the Levenberg-Marquardt system of a scalar residual.

    With J = -g the system (J'J + l I) d = -J'r is (g g' + l I) d = g r, and `d = g r / (l + |g|^2)` solves it
    (Sherman and Morrison).

    Samples of a group share one residual, the mean of theirs. Its gradient with respect to one of K chunks is -g_b / K,
    so `d_b = g_b mean(r) / (K l + mean |g|^2)`.

    Args:
        gradient: g (B, T, A), the reward's gradient with respect to each chunk.
        residual: r (B,).
        damping: l of a single sample, K l of a group of K.
        group: Number of consecutive samples that share a residual; divides B.

    Returns:
        d (B, T, A).
    """
    squared = gradient.flatten(1).square().sum(dim=1)
    if group > 1:
        residual, squared = (_mean_of_groups(values, group) for values in (residual, squared))
    return gradient * (residual / (damping + squared))[:, None, None]


def optimize(reward: Reward, start: Tensor, context: Tensor, how: Optimization, group: int = 1) -> Tensor:
    """Improve action chunks under a reward.

    Works with and without gradients enabled, and in inference mode. With gradients enabled, the result is
    differentiable through the last `how.recorded` steps, including second derivatives of the reward.

    Args:
        reward: The reward to increase.
        start: Initial chunks (B, T, A).
        context: Other inputs of the reward (B, H).
        how: Settings.
        group: Number of consecutive samples that are optimized together; see `damped_step`.

    Returns:
        Chunks (B, T, A) after the last step; they may lie beyond `how.clip_range`.
    """

    def total(chunk: Tensor) -> tuple[Tensor, Tensor]:
        values = reward(chunk if how.clip_range is None else chunk.clamp(-how.clip_range, how.clip_range), context)
        return values.sum(), values

    recording, unrecorded = torch.is_grad_enabled(), how.iterations - min(how.recorded, how.iterations)
    # In inference mode nothing can be differentiated: torch.func.grad silently gives zeros there.
    with torch.inference_mode(False):
        chunk, context = (tensor.clone() if tensor.is_inference() else tensor for tensor in (start, context))
        for iteration in range(how.iterations):
            with torch.set_grad_enabled(recording and iteration >= unrecorded):
                gradient, values = torch.func.grad(total, has_aux=True)(chunk)
                chunk = chunk + how.step_size * damped_step(gradient, how.offset - values, how.damping, group)
    return chunk


def _mean_of_groups(values: Tensor, group: int) -> Tensor:
    """Each value (B,) replaced by the mean of its group."""
    return values.unflatten(0, (-1, group)).mean(dim=1).repeat_interleave(group)
