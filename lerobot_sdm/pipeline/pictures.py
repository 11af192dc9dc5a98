"""Pictures of a run: success with its intervals, and what the policies see."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, ACCENT, PALE = "#222222", "#1f6fb4", "#9aa5b1"
COLOURS = {"expert": PALE, "student": "#c2410c"}


def success_plot(results: dict[str, Any], path: Path) -> None:
    """Draw the success rate of each row with its Wilson interval.

    Args:
        results: Content of `results.json`.
        path: PNG file to write.
    """
    rows = results["rows"]
    figure = Figure(figsize=(7.5, 0.55 * len(rows) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    for height, row in enumerate(reversed(rows)):
        rate = {name: 100 * value for name, value in row["success_rate"].items()}
        colour = COLOURS.get(row["key"], ACCENT)
        axes.plot([rate["low"], rate["high"]], [height, height], color=colour, linewidth=3, alpha=0.45)
        axes.plot(rate["estimate"], height, "o", color=colour, markersize=8)
        text = f"{sum(row['successes'])}/{len(row['successes'])}"
        axes.annotate(text, (102, height), va="center", color=INK, annotation_clip=False)
    axes.set_yticks(range(len(rows)), [row["label"] for row in reversed(rows)])
    axes.set_xlim(-2, 101)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("success rate in %, with 95% Wilson interval")
    axes.set_title(f"{results['task']}: the same {len(rows[0]['successes'])} seeds for every row", loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _save(figure, path)


def cloud_picture(cloud: NDArray[np.float32], trajectories: list[NDArray[np.float32]], title: str, path: Path) -> None:
    """Draw a point cloud from the front and from above, with paths of the hand.

    Args:
        cloud: (N, 3) coloured by height, or (N, 6) with its own colours (0 to 255); zero rows are padding.
        trajectories: Positions of the hand (T, 3) in the cloud's frame, one for each demonstration.
        title: Shown on top.
        path: PNG file to write.
    """
    points = cloud[np.any(cloud[:, :3] != 0, axis=1)]
    colour = points[:, 3:6] / 255 if points.shape[1] == 6 else points[:, 2]
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    figure.suptitle(title)
    for position, (elevation, azimuth, name) in enumerate(((22, -60, "view"), (90, -90, "from above")), start=1):
        axes = figure.add_subplot(1, 2, position, projection="3d", computed_zorder=False)
        axes.scatter(*points[:, :3].T, c=colour, cmap="viridis", s=14, depthshade=False, zorder=1)
        for number, trajectory in enumerate(trajectories):
            axes.plot(*trajectory.T, color="#c2410c", linewidth=1.4, alpha=0.8, zorder=2)
            label = "expert's hand" if number == 0 else None
            axes.plot(*trajectory[:1].T, "o", color="#c2410c", markersize=4, zorder=3, label=label)
        axes.view_init(elevation, azimuth)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("x (m)")
        axes.set_ylabel("y (m)")
        if name == "from above":
            axes.set_zticks([])
        else:
            axes.set_zlabel("z (m)")
        everything = np.concatenate([points[:, :3], *trajectories])
        axes.set_box_aspect(np.ptp(everything, axis=0) + 1e-6)
    if trajectories:
        axes.legend(loc="upper right", frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=150)
    temporary.replace(path)
