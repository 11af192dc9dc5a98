"""Optimize action chunks under a learned reward by damped Gauss-Newton steps, which are differentiable.

The objective of one chunk `a` is half the square of a scalar residual `r = offset - R(a)`. Its Jacobian is a single
row, so the Levenberg-Marquardt matrix is a multiple of the identity plus a rank-one matrix, and the system has a
closed-form solution: no solver, no factorization, cost linear in the size of the chunk.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lerobot_sdm.policies.difftori.configuration_difftori import DiffTORIConfig

Reward = Callable[[Tensor, Tensor], Tensor]
"""Rewards (B,) of action chunks (B, T, A) in contexts (B, H); each depends only on its own chunk and context."""


def damped_step(gradient: Tensor, residual: Tensor, damping: float, group: int = 1) -> Tensor:
    """Solve the Levenberg-Marquardt system of a scalar residual: d (B, T, A).

    With J = -g the system (J'J + l I) d = -J'r is (g g' + l I) d = g r, and `d = g r / (l + |g|^2)` solves it
    (Sherman and Morrison).

    Samples of a group share one residual, the mean of theirs. Its gradient with respect to one of K chunks is -g_b / K,
    so `d_b = g_b mean(r) / (K l + mean |g|^2)`.

    Args:
        gradient: g (B, T, A), the reward's gradient with respect to each chunk.
        residual: r (B,).
        damping: l of a single sample, K l of a group of K.
        group: Number of consecutive samples that share a residual; divides B.
    """
    squared = gradient.flatten(1).square().sum(dim=1)
    if group > 1:
        residual, squared = (_mean_of_groups(values, group) for values in (residual, squared))
    return gradient * (residual / (damping + squared))[:, None, None]


def optimize(reward: Reward, start: Tensor, context: Tensor, config: DiffTORIConfig, group: int = 1) -> Tensor:
    """Improve action chunks under a reward; the results (B, T, A) may lie beyond `clip_range`.

    Works with and without gradients enabled, and in inference mode. With gradients enabled, the result is
    differentiable through the last `n_recorded_iterations` steps, including second derivatives of the reward.

    Args:
        reward: The reward to increase.
        start: Initial chunks (B, T, A).
        context: Other inputs of the reward (B, H).
        config: Has the settings of the optimization.
        group: Number of consecutive samples that are optimized together; see `damped_step`.
    """
    limit, iterations = config.clip_range, config.n_iterations

    def total(chunk: Tensor) -> tuple[Tensor, Tensor]:
        values = reward(chunk if limit is None else chunk.clamp(-limit, limit), context)
        return values.sum(), values

    recording, unrecorded = torch.is_grad_enabled(), iterations - min(config.n_recorded_iterations, iterations)
    # In inference mode nothing can be differentiated: torch.func.grad silently gives zeros there.
    with torch.inference_mode(False):
        chunk, context = (tensor.clone() if tensor.is_inference() else tensor for tensor in (start, context))
        for iteration in range(iterations):
            with torch.set_grad_enabled(recording and iteration >= unrecorded):
                gradient, values = torch.func.grad(total, has_aux=True)(chunk)
                residual = config.reward_offset - values
                chunk = chunk + config.step_size * damped_step(gradient, residual, config.damping, group)
    return chunk


def _mean_of_groups(values: Tensor, group: int) -> Tensor:
    """Each value (B,) replaced by the mean of its group."""
    return values.unflatten(0, (-1, group)).mean(dim=1).repeat_interleave(group)
