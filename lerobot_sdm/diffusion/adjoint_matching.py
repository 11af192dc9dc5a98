"""Adjoint Matching (Domingo-Enrich et al. 2024): fine-tune a diffusion model toward samples with a high reward.

The goal is the tilted distribution of the base model, p(x) ~ p_base(x) exp(weight * reward(x)). This is a stochastic
optimal control problem of the sampling process: maximize the reward with the least control (fine-tuned minus base
drift, in units of the noise). Its solution is unbiased only if the noise is memoryless, that is, if the sample does not
depend on the start noise. Ancestral sampling (DDPM; DDIM with eta = 1) is memoryless, and a network trained with it can
afterwards be used with every sampler, including deterministic ones.

Steps k = 0 ... K-1 lead from pure noise x_0 to the sample x_K, by x_{k+1} = m(x_k) + sigma_k xi_k. A `Mean` is m.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lerobot_sdm.diffusion.broadcasting import per_row, same_timestep

Mean = Callable[[Tensor, Tensor], Tensor]
"""(x_k (N, T, A), k (N,) int64) -> m(x_k) (N, T, A), under a fixed condition."""


class MemorylessProcess(NamedTuple):
    """The noise levels of ancestral sampling, one entry for each step.

    Attributes:
        timesteps: The network's timestep inputs, decreasing (K,) int64.
        alpha_bar: Signal power before the step (K,).
        alpha_bar_next: Signal power after the step (K,); 1 after the last.
        sigma: Standard deviation of the step's noise (K,); 0 in the last.
    """

    timesteps: Tensor
    alpha_bar: Tensor
    alpha_bar_next: Tensor
    sigma: Tensor

    @property
    def steps(self) -> int:
        """K."""
        return len(self.timesteps)


class Adjoints(NamedTuple):
    """Result of `lean_adjoints`.

    Attributes:
        values: a_0 ... a_K (K + 1, B, T, A); zeros where not finite.
        base_means: The base model's means of the states, m_base(x_k) (K, B, T, A).
        finite: Samples whose adjoints were all finite (B,) bool.
    """

    values: Tensor
    base_means: Tensor
    finite: Tensor


def memoryless_process(alphas_cumprod: Tensor, timesteps: Sequence[int]) -> MemorylessProcess:
    """Ancestral sampling that visits strictly decreasing timesteps (Ho et al. 2020, eq. 7, between any two levels).

    With beta = 1 - alpha_bar / alpha_bar_next: sigma^2 = beta (1 - alpha_bar_next) / (1 - alpha_bar).
    """
    visited = torch.tensor(list(timesteps), device=alphas_cumprod.device)
    alpha_bar = alphas_cumprod[visited]
    alpha_bar_next = torch.cat([alpha_bar[1:], torch.ones_like(alpha_bar[:1])])
    beta = 1 - alpha_bar / alpha_bar_next
    return MemorylessProcess(visited, alpha_bar, alpha_bar_next, (beta * (1 - alpha_bar_next) / (1 - alpha_bar)).sqrt())


def posterior_mean(x: Tensor, x0: Tensor, process: MemorylessProcess, k: Tensor) -> Tensor:
    """Mean of x_{k+1} (N, T, A) given x_k (N, T, A) and the clean sample (Ho et al. 2020, eq. 7).

    Args:
        x: x_k (N, T, A).
        x0: Estimate of the clean sample (N, T, A), clipped as the sampler clips it.
        process: Noise levels.
        k: Step of each sample (N,).
    """
    a, a_next = (per_row(power[k], x) for power in (process.alpha_bar, process.alpha_bar_next))
    ratio = a / a_next
    return (a_next.sqrt() * (1 - ratio) * x0 + ratio.sqrt() * (1 - a_next) * x) / (1 - a)


@torch.no_grad()
def sample_states(mean: Mean, start: Tensor, process: MemorylessProcess, generator: torch.Generator) -> Tensor:
    """Run the process of the fine-tuned model from standard normal noise x_0 (B, T, A), and return all states
    x_0 ... x_K (K + 1, B, T, A)."""
    states = [start]
    for k in range(process.steps):
        noise = torch.randn(start.shape, generator=generator, device=start.device, dtype=start.dtype)
        states.append(mean(states[-1], same_timestep(k, start)) + process.sigma[k] * noise)
    return torch.stack(states)


def lean_adjoints(base_mean: Mean, states: Tensor, terminal: Tensor, clip_quantile: float = 1.0) -> Adjoints:
    """Backpropagate the sample's reward to each state of a trajectory, through the base model.

    a_K = terminal and a_k = J_m(x_k)^T a_{k+1} with m the base model's mean: the lean adjoint of Domingo-Enrich et al.
    for the discrete process, with one vector-Jacobian product per step.

    Args:
        base_mean: m of the base model.
        states: From `sample_states` (K + 1, B, T, A).
        terminal: -weight * d reward / d x_K (B, T, A).
        clip_quantile: See `clip_norms`; applied to each a_k. 1 for no clipping.
    """
    finite = terminal.flatten(1).isfinite().all(dim=1)
    values, means = [clip_norms(_zero_unless(finite, terminal), clip_quantile, finite)], []
    for k in reversed(range(len(states) - 1)):
        with torch.enable_grad():
            x = states[k].detach().requires_grad_(True)
            mean = base_mean(x, same_timestep(k, x))
            (adjoint,) = torch.autograd.grad(mean, x, grad_outputs=values[-1])
        means.append(mean.detach())
        finite = finite & adjoint.flatten(1).isfinite().all(dim=1)
        values.append(clip_norms(_zero_unless(finite, adjoint), clip_quantile, finite))
    return Adjoints(torch.stack(values[::-1]), torch.stack(means[::-1]), finite)


def clip_norms(values: Tensor, quantile: float, counted: Tensor | None = None) -> Tensor:
    """Clip the norms of samples (B, T, A) at a quantile of those of the `counted` (B,), None for all; 1 clips none.

    A few samples have adjoints many times larger than the others; they would dominate the whole step.
    """
    lengths = values.flatten(1).norm(dim=1)
    compared = lengths if counted is None else lengths[counted]
    if quantile >= 1 or not len(compared):
        return values
    limit = compared.quantile(quantile)
    factor = torch.where(lengths > limit, limit / lengths, torch.ones_like(lengths))
    return values * per_row(factor, values)


def control(mean: Tensor, base_mean: Tensor, sigma: Tensor) -> Tensor:
    """Difference between the means (N, T, A) of the fine-tuned model and its base, in units of the step's noise (N,).

    The expected sum of |control|^2 / 2 over a trajectory is the Kullback-Leibler divergence of the two processes.
    """
    return (mean - base_mean) / per_row(sigma, mean)


def matching_losses(controls: Tensor, adjoints: Tensor, sigma: Tensor) -> Tensor:
    """Regression of the control u onto the adjoint a: |u + sigma a|^2 (N,), summed over a sample's entries.

    Args:
        controls: From `control` (N, T, A).
        adjoints: a_{k+1}, for which the solution is exact for the discrete process, or a_k (N, T, A).
        sigma: (N,).
    """
    return (controls + per_row(sigma, controls) * adjoints).square().flatten(1).sum(dim=1)


def draw_steps(count: int, process: MemorylessProcess, generator: torch.Generator) -> Tensor:
    """Draw the steps to learn from, spread over the trajectory: a random one from each of `count` equal parts.

    The last step is never drawn: it has no noise, so no control. The result (count,) int64 is increasing.
    """
    edges = torch.linspace(0, process.steps - 1, count + 1, device=generator.device)
    share = torch.rand(count, generator=generator, device=generator.device)
    steps = (edges[:-1] + share * (edges[1:] - edges[:-1])).long()
    return steps.clamp_max(process.steps - 2)


def _zero_unless(kept: Tensor, values: Tensor) -> Tensor:
    return torch.where(per_row(kept, values), values, torch.zeros_like(values))
