"""Sampling-based search for action sequences: the cross-entropy method and MPPI. Independent of any simulator.

A search adds deviations to a plan, each piecewise linear through a few random knots, and moves toward the cheap ones.
The next search starts from the same plan, shifted in time, so that earlier work is not lost.

Sources: Rubinstein (1999), Methodology and Computing in Applied Probability 1, 127-190 (CEM); Williams et al. (2017),
"Information theoretic MPC for model-based reinforcement learning" (MPPI); Howell et al. (2022), "Predictive sampling:
real-time behavior synthesis with MuJoCo" (lines through knots, the current plan among the candidates).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.errors import InputError, check_at_least

Evaluate = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Costs (N,) of plans (N, H, A)."""


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    Args:
        samples: N, plans sampled per round.
        rounds: Rounds of improvement per search.
        horizon: H, control steps of a plan.
        knots: K, knots of a deviation.
        noise: Standard deviation of the knots in the first round, in units of the action space.
        least_noise: Lower limit of the standard deviation in later rounds.
        elites: Number of cheapest plans that determine the center of the next round (CEM).
        temperature: If given, all plans determine it, weighted by exp(-cost / temperature), with costs in units of
            their standard deviation (MPPI).
        replan: Control steps executed before the next search.

    Raises:
        InputError: A value is invalid.
    """

    samples: int = 64
    rounds: int = 1
    horizon: int = 16
    knots: int = 4
    noise: float = 0.4
    least_noise: float = 0.1
    elites: int = 6
    temperature: float | None = None
    replan: int = 2

    def __post_init__(self) -> None:
        lowest = {"samples": 2, "rounds": 1, "horizon": 2, "knots": 2, "elites": 1, "replan": 1}
        for name, least in lowest.items():
            check_at_least(name, getattr(self, name), least)
        if self.elites > self.samples:
            raise InputError(f"elites={self.elites}: must be at most samples={self.samples}.")
        if self.replan > self.horizon:
            raise InputError(f"replan={self.replan}: must be at most horizon={self.horizon}.")
        if self.temperature is not None and self.temperature <= 0:
            raise InputError(f"temperature={self.temperature}: must be positive.")


def improve(
    bases: Sequence[NDArray[np.float64]], evaluate: Evaluate, search: Search, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Search around the cheapest of some plans; returns one that costs no more than any of them, (H, A) in -1..1.

    Args:
        bases: Plans (H, A): the shifted previous one, and that of a guide if there is one.
        evaluate: Computes the cost of plans.
        search: Settings of the search.
        rng: Generator of the deviations.
    """
    base = bases[0] if len(bases) == 1 else bases[np.argmin(evaluate(np.stack(bases)))]
    line = line_weights(search.horizon, search.knots)
    mean = np.zeros((search.knots, base.shape[1]))
    noise = np.full_like(mean, search.noise)
    best = mean
    for _ in range(search.rounds):
        knots = mean + noise * rng.standard_normal((search.samples, *mean.shape))
        # Include the best plan so far, so that a search never makes a plan worse.
        knots[:2] = mean, best
        costs = evaluate(np.clip(base + line @ knots, -1.0, 1.0))
        order = np.argsort(costs, kind="stable")
        if not np.isfinite(costs[order[0]]):
            break  # Every prediction diverged, so there is no direction to search in.
        best = knots[order[0]]
        mean, spread = center(knots[order], costs[order], search)
        noise = np.maximum(search.least_noise, spread)
    # The mean of the plans is smoother than the best one, which is random in joints that hardly matter. But the mean of
    # two different ways to act can be worse than either.
    plans = np.clip(base + line @ np.stack([mean, best]), -1.0, 1.0)
    return plans[np.argmin(evaluate(plans))]


def center(
    knots: NDArray[np.float64], costs: NDArray[np.float64], search: Search
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean and standard deviation of plans, (K, A) each.

    Args:
        knots: (N, K, A), the cheapest first.
        costs: (N,), in the same order; infinite where a prediction diverged.
        search: Decides between softmax weights for all plans and equal weights for the elites.
    """
    if search.temperature is None:
        knots = knots[: search.elites]
        weights = np.full(len(knots), 1 / len(knots))
    else:
        scale = search.temperature * max(float(np.std(costs[np.isfinite(costs)])), 1e-9)
        weights = np.exp(-(costs - costs[0]) / scale)
        weights /= weights.sum()
    mean = np.tensordot(weights, knots, 1)
    return mean, np.sqrt(np.tensordot(weights, (knots - mean) ** 2, 1))


def line_weights(horizon: int, knots: int) -> NDArray[np.float64]:
    """(H, K) weight of each knot at each step: piecewise linear, with knots spread evenly over the horizon."""
    position = np.linspace(0, knots - 1, horizon)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(knots)))


def moved_on(plan: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """(H, A) a plan shifted by some steps, repeating its last action."""
    return np.concatenate([plan[steps:], np.repeat(plan[-1:], steps, axis=0)])
