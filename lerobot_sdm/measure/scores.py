"""Compute rates of cells and levels and differences to the teacher. Pure functions."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import mean, stdev
from typing import Any

from lerobot_sdm.measure.statistics import paired_difference, success_rate

Cells = Sequence[dict[str, Any]]
"""Cells as measured by one protocol, see `measured_by`."""


def measured_by(cells: Cells, protocol: str) -> list[dict[str, Any]]:
    """The cells that a protocol has measured, each with its `rules`, `evaluations` and `score` by that protocol."""
    return [cell | cell["protocols"][protocol] for cell in cells if protocol in cell["protocols"]]


def score(outcomes: Sequence[Sequence[bool]], best: int) -> dict[str, float]:
    """The success rate of a cell.

    Args:
        outcomes: Outcomes of the episodes of each evaluation.
        best: How many of the highest rates are averaged; 0 for one rate of all episodes.

    Returns:
        `estimate`; and `low` and `high`, Wilson's limits, unless the highest rates were selected, for which no interval
        is valid.
    """
    if best:
        rates = sorted((sum(episodes) / len(episodes) for episodes in outcomes), reverse=True)
        return {"estimate": mean(rates[:best])}
    episodes = [outcome for evaluation in outcomes for outcome in evaluation]
    return asdict(success_rate(episodes))


def pooled(cells: Cells) -> dict[str, float]:
    """The success rate of several cells of one method, or of several tasks' experts.

    Returns:
        `estimate`, the mean over cells; `low` and `high`, Wilson's limits over all their episodes, if rates are over
        all episodes; `seed_sd`, the standard deviation over training seeds of the mean over tasks, if there are
        several seeds.
    """
    result = {"estimate": mean(cell["score"]["estimate"] for cell in cells)}
    if all("low" in cell["score"] for cell in cells):
        episodes = [outcome for cell in cells for outcome in outcomes(cell)]
        interval = success_rate(episodes)
        result |= {"low": interval.low, "high": interval.high}
    seeds = sorted({cell["training_seed"] for cell in cells if "training_seed" in cell})
    if len(seeds) > 1:
        by_seed = [mean(cell["score"]["estimate"] for cell in cells if cell["training_seed"] == s) for s in seeds]
        result["seed_sd"] = stdev(by_seed)
    return result


def difference(cells: Cells, teachers: Cells) -> dict[str, float]:
    """Success of cells minus that of their teachers' cells, episode by episode on the same starts; both are of the same
    tasks and seeds, in the same order."""
    mine, theirs = ([outcome for cell in group for outcome in outcomes(cell)] for group in (cells, teachers))
    return asdict(paired_difference(mine, theirs))


def outcomes(cell: dict[str, Any]) -> list[bool]:
    """All episodes of a cell."""
    return [outcome for evaluation in cell["evaluations"] for outcome in evaluation["successes"]]
