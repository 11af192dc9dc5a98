"""What a plan costs in each task: pure functions of predicted states, zero where all is as it should be.

A new task is one function of what is measured, the points that it looks at, and an entry in `TASK_COSTS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.errors import unknown_name
from lerobot_sdm.experts.search import Search

Measured = Mapping[str, NDArray[np.float64]]
"""See `prediction.Measured`; (N, H, ...) here."""

Terms = dict[str, NDArray[np.float64]]
"""Name -> (N, H) one term of a cost."""


@dataclass(frozen=True)
class TaskCost:
    """The cost of a task, and how to search with it.

    Args:
        terms: Says what the states of plans cost.
        weights: Weight of each term.
        watched: Name of a point -> kind (`site`, `body` or `geom`) and name of what is there.
        search: How to search without a guide.
        guided: And with one.
    """

    terms: Callable[[Measured], Terms]
    weights: Mapping[str, float]
    watched: Mapping[str, tuple[str, str]]
    search: Search = field(default_factory=Search)
    guided: Search = field(default_factory=Search)

    def __call__(self, measured: Measured) -> NDArray[np.float64]:
        """(N,) the weighed terms, summed over the horizon; infinite where a prediction broke."""
        terms = self.terms(measured)
        total = sum(weight * terms[name].sum(axis=1) for name, weight in self.weights.items())
        return np.where(np.isfinite(total), total, np.inf)


def door(measured: Measured) -> Terms:
    """Palm at the handle; latch turned until the door moves; door open."""
    hinge, latch = measured["qpos"][..., -2], measured["qpos"][..., -1]
    return {
        "reach": distance(measured["palm"], measured["handle"]),
        "latch": np.where(hinge > 0.1, 0.0, 1.8 - latch),
        "hinge": np.abs(1.57 - hinge),
        "speed": (measured["qvel"] ** 2).sum(axis=-1),
    }


def hammer(measured: Measured) -> Terms:
    """Palm at the hammer; hammer off the table; its head at the nail; nail in the board."""
    height = np.minimum(measured["hammer"][..., 2], measured["head"][..., 2])
    return {
        "reach": distance(measured["palm"], measured["hammer"]),
        "lift": np.maximum(0.0, 0.1 - height),
        "strike": distance(measured["head"], measured["nail"]),
        "nail": distance(measured["nail"], measured["goal"]),
        "speed": (measured["qvel"] ** 2).sum(axis=-1),
    }


def pen(measured: Measured) -> Terms:
    """Pen along the one beside it, above the palm, and calm."""
    away = distance(measured["pen"], measured["palm"])
    wanted = direction(measured["target_top"], measured["target_bottom"])
    speeds = measured["qvel"][..., -6:]
    return {
        "turn": 1.0 - (direction(measured["top"], measured["bottom"]) * wanted).sum(axis=-1),
        "stay": away,
        "leave": np.maximum(0.0, away - 0.03),
        "fall": (measured["pen"][..., 2] < 0.12).astype(float),
        "fly": (speeds[..., :3] ** 2).sum(axis=-1),
        "spin": (speeds[..., 3:] ** 2).sum(axis=-1),
    }


def relocate(measured: Measured) -> Terms:
    """Palm at the ball; ball off the table; ball at the target."""
    return {
        "reach": distance(measured["palm"], measured["ball"]),
        "lift": np.maximum(0.0, 0.1 - measured["ball"][..., 2]),
        "carry": distance(measured["ball"], measured["target"]),
        "speed": (measured["qvel"] ** 2).sum(axis=-1),
    }


def drawer_open(measured: Measured) -> Terms:
    """MetaWorld: hand at the handle, from above; drawer open."""
    handle, hand = measured["handle"], measured["hand"]
    sideways = np.linalg.norm((hand - handle)[..., :2], axis=-1)
    # The hand comes down to the handle once it is above it.
    lane = np.minimum(1.0, sideways / 0.05)
    return {
        "reach": distance(hand, handle),
        "hover": lane * np.maximum(0.0, handle[..., 2] + 0.1 - hand[..., 2]),
        "open": np.linalg.norm(handle - measured["goal"], axis=-1),
    }


PALM = {"palm": ("site", "S_grasp")}

TASK_COSTS: dict[str, TaskCost] = {
    "adroit/door": TaskCost(
        terms=door,
        weights={"reach": 1.0, "latch": 1.0, "hinge": 2.0, "speed": 1e-5},
        watched=PALM | {"handle": ("site", "S_handle")},
    ),
    "adroit/hammer": TaskCost(
        terms=hammer,
        weights={"reach": 1.0, "lift": 5.0, "strike": 2.0, "nail": 20.0, "speed": 1e-4},
        watched=PALM
        | {
            "hammer": ("body", "Object"),
            "head": ("site", "tool"),
            "nail": ("site", "S_target"),
            "goal": ("site", "nail_goal"),
        },
    ),
    "adroit/pen": TaskCost(
        terms=pen,
        weights={"turn": 1.0, "stay": 1.0, "leave": 20.0, "fall": 20.0, "fly": 0.3, "spin": 1e-3},
        watched={
            "pen": ("body", "Object"),
            "palm": ("site", "eps_ball"),
            "top": ("site", "object_top"),
            "bottom": ("site", "object_bottom"),
            "target_top": ("site", "target_top"),
            "target_bottom": ("site", "target_bottom"),
        },
        search=Search(horizon=12, noise=0.3, replan=1),
        guided=Search(horizon=12, noise=0.2, replan=1, samples=32),
    ),
    "adroit/relocate": TaskCost(
        terms=relocate,
        weights={"reach": 1.0, "lift": 5.0, "carry": 2.0, "speed": 1e-4},
        watched=PALM | {"ball": ("body", "Object"), "target": ("site", "target")},
    ),
    "metaworld/drawer-open": TaskCost(
        terms=drawer_open,
        weights={"reach": 1.0, "hover": 1.0, "open": 3.0},
        watched={"hand": ("body", "hand"), "handle": ("geom", "objGeom"), "goal": ("site", "goal")},
        search=Search(samples=24, horizon=10, knots=3, noise=0.6, replan=4),
    ),
}
"""Family of environments and task -> cost."""


def task_cost(family: str, task: str) -> TaskCost:
    """The cost of a task.

    Raises:
        InputError: None is known.
    """
    known = [name.removeprefix(f"{family}/") for name in TASK_COSTS if name.startswith(f"{family}/")]
    if task not in known:
        raise unknown_name("--expert=mpc, task", task, known)
    return TASK_COSTS[f"{family}/{task}"]


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distance (...) of points (..., 3)."""
    return np.linalg.norm(a - b, axis=-1)


def direction(tip: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vectors (..., 3) from one end of a stick to its tip."""
    along = tip - end
    return along / np.linalg.norm(along, axis=-1, keepdims=True)
