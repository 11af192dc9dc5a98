"""Plots of runs and comparisons: estimates with intervals, and what the policies see."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lerobot_sdm.files import new_file

INK, BLUE, RED, PALE = "#222222", "#1f6fb4", "#c2410c", "#9aa5b1"
COLORS = {"expert": PALE, "student": RED}


def success_plot(results: dict[str, Any], path: Path) -> None:
    """Draw the success rate of each row of a quickstart's `results.json`, with its Wilson interval."""
    rows = results["rows"]
    _interval_plot(
        rows,
        "success_rate",
        [f"{sum(row['successes'])}/{len(row['successes'])}" for row in rows],
        "success rate in %, with 95% Wilson interval",
        f"{results['task']}: the same {len(rows[0]['successes'])} seeds for every row",
        path,
    )


def rewards_plot(results: dict[str, Any], path: Path) -> None:
    """Draw the highest rewards of each row of a comparison's `results.json`, episode by episode, and their mean with
    its interval."""
    rows, kind = results["rows"], results["task"].partition(",")[0]
    _interval_plot(
        rows,
        "max_reward",
        [f"{100 * row['max_reward']['estimate']:.1f}" for row in rows],
        f"highest {results['reward']} of an episode in %; mean with 95% bootstrap interval",
        f"{kind}: the same {len(rows[0]['max_rewards'])} seeds for every row",
        path,
        episodes="max_rewards",
    )


def _interval_plot(
    rows: list[dict[str, Any]],
    name: str,
    texts: list[str],
    axis: str,
    title: str,
    path: Path,
    episodes: str | None = None,
) -> None:
    """Draw an estimate with its interval for each row, from top to bottom.

    Args:
        rows: Entries with `key`, `label`, and `estimate`, `low` and `high`, between 0 and 1, under a name.
        name: That name.
        texts: Text beside each row.
        axis: Label of the axis, which is in %.
        episodes: Name of per-episode values to draw as points; None for none.
    """
    figure = Figure(figsize=(7.5, (0.8 if episodes else 0.55) * len(rows) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    for height, (row, text) in enumerate(zip(reversed(rows), reversed(texts), strict=True)):
        if episodes:
            values = 100 * np.array(row[episodes])
            jitter = np.random.default_rng(0).uniform(-0.22, 0.22, len(values))
            axes.scatter(values, height + jitter, s=9, color=PALE, linewidths=0)
        value = {key: 100 * number for key, number in row[name].items()}
        color = COLORS.get(row["key"], BLUE)
        axes.plot([value["low"], value["high"]], [height, height], color=color, linewidth=3, alpha=0.5)
        axes.plot(value["estimate"], height, "o", color=color, markersize=8, clip_on=False)
        axes.annotate(text, (103, height), va="center", color=INK, annotation_clip=False)
    axes.set_yticks(range(len(rows)), [row["label"] for row in reversed(rows)])
    axes.set_xlim(-2, 101)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(axis)
    axes.set_title(title, loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    save_figure(figure, path)


def cloud_picture(cloud: NDArray[np.float32], trajectories: list[NDArray[np.float32]], title: str, path: Path) -> None:
    """Draw a point cloud in 3D and from above, with paths of the hand.

    Args:
        cloud: (N, 3) colored by height, or (N, 6) with its own colors (0 to 255); world meters.
        trajectories: Positions of the hand (T, 3) in world meters, one per demonstration.
    """
    color = cloud[:, 3:6] / 255 if cloud.shape[1] == 6 else cloud[:, 2]
    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(title)
    space = figure.add_subplot(1, 2, 1, projection="3d", computed_zorder=False, proj_type="ortho")
    above = figure.add_subplot(1, 2, 2)
    space.scatter(*cloud[:, :3].T, c=color, cmap="viridis", s=12, depthshade=False)
    above.scatter(*cloud[:, :2].T, c=color, cmap="viridis", s=12)
    for number, trajectory in enumerate(trajectories):
        label = "expert's hand" if number == 0 else None
        space.plot(*trajectory.T, color=RED, linewidth=1.4, alpha=0.8)
        above.plot(*trajectory[:, :2].T, color=RED, linewidth=1.4, alpha=0.8, label=label)
        above.plot(*trajectory[0, :2], "o", color=RED, markersize=4)
    space.view_init(elev=25, azim=-60)
    space.set_aspect("equal")
    space.set_title("in space, z up (m)", fontsize=10)
    above.set_aspect("equal")
    above.set_title("from above", fontsize=10)
    for axes in (space, above):
        axes.set_xlabel("x (m)")
        axes.set_ylabel("y (m)")
        axes.locator_params(nbins=5)
    above.grid(alpha=0.3)
    if trajectories:
        above.legend(loc="lower right", fontsize=9)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with new_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")
