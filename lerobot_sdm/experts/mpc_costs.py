"""Costs of plans in each task: pure functions of predicted states, zero once the task is done.

A new task needs one function of the measured values, the points it measures, and an entry in `TASK_COSTS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.envs.adroit.scenes import direction
from lerobot_sdm.envs.adroit.tasks import Door, Hammer, Pen, Relocate
from lerobot_sdm.envs.hand_task import HandTask, Measured, distance
from lerobot_sdm.errors import check_known
from lerobot_sdm.experts.search import Search

Terms = dict[str, NDArray[np.float64]]
"""Name -> (N, H) one term of a cost."""


@dataclass(frozen=True)
class TaskCost:
    """The cost of a task, and its search settings.

    Args:
        terms: Computes the cost terms of the states of plans, from values (N, H, ...).
        weights: Weight of each term.
        watched: The points that it measures, see `add_sensors`.
        search: Search settings without a guide.
        guided: Search settings with a guide.
        settled: Computes where the task is done, (N, H); None if it never is.
    """

    terms: Callable[[Measured], Terms]
    weights: Mapping[str, float]
    watched: Mapping[str, tuple[str, str]]
    search: Search = field(default_factory=Search)
    guided: Search = field(default_factory=Search)
    settled: Callable[[Measured], NDArray[np.bool_]] | None = None

    def __call__(self, measured: Measured) -> NDArray[np.float64]:
        """(N,) the weighted terms, summed over the horizon; infinite where a prediction diverged."""
        terms = self.terms(measured)
        total = sum(weight * terms[name].sum(axis=1) for name, weight in self.weights.items())
        return np.where(np.isfinite(total), total, np.inf)


def door(measured: Measured) -> Terms:
    """Palm at the handle; latch turned until the door moves; door open."""
    hinge, latch = measured["qpos"][..., -2], measured["qpos"][..., -1]
    return {
        "reach": distance(measured["palm"], measured["handle"]),
        "latch": np.where(hinge > 0.1, 0.0, np.maximum(0.0, 1.8 - latch)),
        "hinge": np.abs(1.57 - hinge),
        "speed": (measured["qvel"] ** 2).sum(axis=-1),
    }


def hammer(measured: Measured) -> Terms:
    """Hand around the handle; hammer off the table; head at the nail; nail driven in, but not by the bare hand."""
    handle, nail = measured["hammer"], measured["nail"]
    height = np.minimum(handle[..., 2], measured["head"][..., 2])
    fingers = [distance(measured[tip], handle) for tip in FINGERTIPS]
    return {
        "reach": distance(measured["palm"], handle),
        "grasp": sum(fingers) / len(fingers),
        "lift": np.maximum(0.0, 0.1 - height),
        "strike": distance(measured["head"], nail),
        "nail": distance(nail, measured["goal"]),
        "bare": np.maximum(0.0, 0.15 - distance(measured["palm"], nail)),
        "speed": (measured["qvel"] ** 2).sum(axis=-1),
    }


def pen(measured: Measured) -> Terms:
    """Pen parallel to the target pen, in the hand, and at rest.

    The limits on `leave` and `fall` are slightly beyond the range of pens that are turned well.
    """
    away = distance(measured["pen"], measured["palm"])
    wanted = direction(measured["target_top"], measured["target_bottom"])
    speeds = measured["qvel"][..., -6:]
    return {
        "turn": distance(direction(measured["top"], measured["bottom"]), wanted),
        "stay": away,
        "leave": np.maximum(0.0, away - 0.065),
        "fall": np.maximum(0.0, 0.21 - measured["pen"][..., 2]),
        "fly": (speeds[..., :3] ** 2).sum(axis=-1),
        "spin": (speeds[..., 3:] ** 2).sum(axis=-1),
    }


def pen_is_settled(measured: Measured) -> NDArray[np.bool_]:
    """Within 11 degrees (a chord of 0.2) and in the hand; a pen just within the goal's 18 may be leaving it."""
    terms = pen(measured)
    return (terms["turn"] < 0.2) & (terms["leave"] == 0.0)


def relocate(measured: Measured) -> Terms:
    """Palm at the ball; ball off the table; ball at the target."""
    return {
        "reach": distance(measured["palm"], measured["ball"]),
        "lift": np.maximum(0.0, 0.1 - measured["ball"][..., 2]),
        "carry": distance(measured["ball"], measured["target"]),
        "speed": (measured["qvel"] ** 2).sum(axis=-1),
    }


def drawer_open(measured: Measured) -> Terms:
    """MetaWorld: hand at the handle, approached from above; drawer open."""
    handle, hand = measured["drawer"] + DRAWER_HANDLE, measured["hand"]
    sideways = np.minimum(1.0, np.linalg.norm((hand - handle)[..., :2], axis=-1) / 0.05)
    return {
        "reach": distance(hand, handle),
        "hover": sideways * np.maximum(0.0, handle[..., 2] + 0.1 - hand[..., 2]),
        "open": distance(handle, measured["goal"]),
    }


DRAWER_HANDLE = np.array([0.0, -0.16, 0.0])
"""Offset from MetaWorld's drawer to its handle, meters."""

FINGERTIPS = {f"{finger} finger": ("site", f"S_{finger}tip") for finger in ("ff", "mf", "rf", "lf", "th")}


def at_goal_of(task: type[HandTask]) -> Callable[[Measured], NDArray[np.bool_]]:
    """A function that returns where a hand task's goal holds by both the strict and the relaxed rules."""
    at_goal = task().at_goal
    return lambda measured: at_goal(measured, relaxed=True) & at_goal(measured, relaxed=False)


TASK_COSTS: dict[str, TaskCost] = {
    "adroit/door": TaskCost(
        terms=door,
        weights={"reach": 1.0, "latch": 1.0, "hinge": 4.0, "speed": 1e-5},
        watched=Door.watched,
        search=Search(samples=48, noise=0.5, temperature=0.2),
        settled=at_goal_of(Door),
    ),
    "adroit/hammer": TaskCost(
        terms=hammer,
        weights={"reach": 1.0, "lift": 5.0, "strike": 2.0, "nail": 20.0, "speed": 1e-4, "grasp": 1.0, "bare": 20.0},
        watched=Hammer.watched | FINGERTIPS,
        search=Search(noise=0.5, temperature=0.2),
        settled=at_goal_of(Hammer),
    ),
    "adroit/pen": TaskCost(
        terms=pen,
        weights={"turn": 1.0, "stay": 1.0, "leave": 20.0, "fall": 30.0, "fly": 0.1, "spin": 3e-4},
        watched=Pen.watched,
        search=Search(samples=80, horizon=20, knots=5, noise=0.6, temperature=0.3),
        guided=Search(horizon=20, knots=5, noise=0.3, temperature=0.3),
        settled=pen_is_settled,
    ),
    "adroit/relocate": TaskCost(
        terms=relocate,
        weights={"reach": 1.0, "lift": 5.0, "carry": 2.0, "speed": 1e-4},
        watched=Relocate.watched,
        search=Search(samples=48, noise=0.5, temperature=0.2),
        settled=at_goal_of(Relocate),
    ),
    "metaworld/drawer-open": TaskCost(
        terms=drawer_open,
        weights={"reach": 1.0, "hover": 1.0, "open": 3.0},
        watched={"hand": ("body", "hand"), "drawer": ("body", "drawer_link"), "goal": ("site", "goal")},
        search=Search(samples=24, horizon=10, knots=3, noise=0.6, replan=4),
    ),
}
"""`FAMILY/TASK` -> cost."""


def task_cost(family: str, task: str) -> TaskCost:
    """The cost of a task.

    Raises:
        InputError: The task has no cost.
    """
    known = [name.removeprefix(f"{family}/") for name in TASK_COSTS if name.startswith(f"{family}/")]
    check_known("--expert=mpc, task", task, known)
    return TASK_COSTS[f"{family}/{task}"]
