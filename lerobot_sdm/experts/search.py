"""Searching for a sequence of actions by sampling: the cross-entropy method and MPPI. Knows nothing of simulators.

A plan is improved by adding deviations to it, each a line through a few random knots, and moving to where the cheap
ones are. The next search starts from the same plan, moved on in time, so that the work of earlier ones is not lost.

Sources: Rubinstein (1999), Methodology and Computing in Applied Probability 1, 127-190 (CEM); Williams et al. (2017),
"Information theoretic MPC for model-based reinforcement learning" (MPPI); Howell et al. (2022), "Predictive sampling:
real-time behavior synthesis with MuJoCo" (lines through knots, the present plan among the candidates).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.errors import InputError

Evaluate = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Costs (N,) of plans (N, H, A)."""


@dataclass(frozen=True)
class Search:
    """How a plan is found.

    Args:
        samples: N, plans that are drawn in each round.
        rounds: How often a plan is improved before it is used.
        horizon: H, control steps that are looked ahead.
        knots: K, points that a deviation is a line through.
        noise: Standard deviation of the knots in the first round, in units of the action space.
        least_noise: What the standard deviation does not fall below in later rounds.
        elites: How many of the cheapest plans say where the next round looks (CEM).
        temperature: If given, all plans say so, weighed by exp(-cost / temperature), with costs in units of their
            standard deviation (MPPI).
        replan: Control steps that are executed before the next search.

    Raises:
        InputError: For a value that cannot work.
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
            if getattr(self, name) < least:
                raise InputError(f"{name}={getattr(self, name)}: give {least} or more.")
        if self.elites > self.samples:
            raise InputError(f"elites={self.elites}: there are only samples={self.samples}. Give fewer.")
        if self.replan > self.horizon:
            raise InputError(f"replan={self.replan}: is longer than horizon={self.horizon}. Give less.")
        if self.temperature is not None and self.temperature <= 0:
            raise InputError(f"temperature={self.temperature}: give more than 0.")


def improve(
    bases: Sequence[NDArray[np.float64]], evaluate: Evaluate, search: Search, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Search around the cheapest of some plans; returns one that costs no more than any of them, (H, A) in -1..1.

    Args:
        bases: Plans (H, A): the last one moved on, and what a guide would do if there is one.
        evaluate: Says what plans cost.
        search: How.
        rng: Draws the deviations.
    """
    base = bases[0] if len(bases) == 1 else bases[np.argmin(evaluate(np.stack(bases)))]
    line = line_weights(search.horizon, search.knots)
    mean = np.zeros((search.knots, base.shape[1]))
    noise = np.full_like(mean, search.noise)
    best = mean
    for _ in range(search.rounds):
        knots = mean + noise * rng.standard_normal((search.samples, *mean.shape))
        # What is best so far competes again, so that a search never makes a plan worse.
        knots[:2] = mean, best
        costs = evaluate(np.clip(base + line @ knots, -1.0, 1.0))
        order = np.argsort(costs, kind="stable")
        if not np.isfinite(costs[order[0]]):
            break  # Every prediction broke: they say nothing about where to look.
        best = knots[order[0]]
        mean, spread = center(knots[order], costs[order], search)
        noise = np.maximum(search.least_noise, spread)
    # A mean over plans is steadier than the best of them, whose joints that hardly matter are where chance put them;
    # but between two ways to act it can be worse than either.
    plans = np.clip(base + line @ np.stack([mean, best]), -1.0, 1.0)
    return plans[np.argmin(evaluate(plans))]


def center(
    knots: NDArray[np.float64], costs: NDArray[np.float64], search: Search
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation, (K, A) each, of the plans that count.

    Args:
        knots: (N, K, A), the cheapest first.
        costs: (N,), in the same order; infinite where a prediction broke.
        search: Whether all count by their weights, or the elites alike.
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
    """(H, K) how much each knot counts at each step: piecewise linear between knots spread evenly over the horizon."""
    position = np.linspace(0, knots - 1, horizon)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(knots)))


def moved_on(plan: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """(H, A) what is left of a plan after some steps, its last action held."""
    return np.concatenate([plan[steps:], np.repeat(plan[-1:], steps, axis=0)])
