"""Draws an episode as a contact sheet: a few frames side by side, and actions and state over time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from lerobot_sdm.files import new_file
from lerobot_sdm.viewing.episode import Frame, ShownEpisode, Signal, without_padding
from lerobot_sdm.viewing.palette import SECOND_CLOUD, Scene, depth_range, line_colors

INK, FAINT, PAPER = "#222222", "#6b7280", "#f4f5f7"
COLUMN = 2.6  # inches
CURVES = 1.6  # inches
# More lines than this are hard to tell apart.
MANY_LINES = 12
SHOWN_SIGNALS = 2
DPI = 110


def contact_sheet(episode: ShownEpisode, scene: Scene, path: Path, moments: int = 6) -> None:
    """Write a contact sheet of so many moments as a PNG, which appears only when it is complete."""
    chosen = episode.moments(moments)
    frames = [episode.read(index) for index in chosen]
    signals = list(episode.signals.items())[:SHOWN_SIGNALS]
    rows = _rows(episode, scene, frames)
    heights = [COLUMN * aspect for _, aspect in rows]
    bands = [sum(heights)] * bool(rows) + [CURVES] * len(signals)

    size = COLUMN * max(len(chosen), 4) + 0.5, sum(bands) + 0.9
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    figure.suptitle(_title(episode, scene, frames[0]), x=0.01, ha="left", fontsize=11, color=INK)
    parts = list(np.atleast_1d(figure.subfigures(len(bands), 1, height_ratios=bands)))
    if rows:
        _draw_moments(parts.pop(0), episode, rows, chosen, frames, heights)
    for part, (key, curve) in zip(parts, signals, strict=True):
        _draw_signal(part, key, curve, episode, chosen)

    with new_file(path) as unfinished:
        figure.savefig(unfinished, format="png")


def _rows(episode: ShownEpisode, scene: Scene, frames: Sequence[Frame]) -> list[tuple[tuple, float]]:
    """For each row: (draw function, its details, label), and height divided by width."""
    rows = []
    for key in episode.images:
        rows.append(((_draw_image, key, key), _aspect(frames[0][key])))
    for key in episode.depths:
        limits = depth_range([frame[key] for frame in frames])
        label = f"{key}\n{limits[0]:.2f} to {limits[1]:.2f} m"
        rows.append(((_draw_depth, (key, limits), label), _aspect(frames[0][key])))
    if episode.clouds:
        points = scene.inside(np.concatenate([frame[key][:, :3] for frame in frames for key in episode.clouds]))
        for view, label in ((Scene.project, episode.clouds[0]), (_from_above, "from above")):
            places, _ = view(scene, points if len(points) else scene.corners())
            margin = 0.03 * scene.size
            low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
            width, height = high - low
            details = (episode, scene, view, (low, high))
            rows.append(((_draw_cloud, details, label), float(np.clip(height / width, 0.4, 1.2))))
    return rows


def _aspect(image: NDArray) -> float:
    return image.shape[0] / image.shape[1]


def _title(episode: ShownEpisode, scene: Scene, frame: Frame) -> str:
    parts = [f"{episode.length} frames at {episode.fps:g} per second"]
    for key in episode.clouds:
        cloud = frame[key]
        padding = len(cloud) - len(without_padding(cloud))
        color = ", colored" if cloud.shape[1] == 6 else ""
        parts.append(f"{key}: {len(cloud)} points{color}" + (f", {padding} of them padding" if padding else ""))
    if episode.clouds:
        parts.append(scene.extent())
    task = f": {episode.task}" if episode.task else ""
    return f"{episode.title}{task}\n{';  '.join(parts)}"


def _draw_moments(part: SubFigure, episode: ShownEpisode, rows, chosen, frames, heights) -> None:
    grid = part.add_gridspec(len(rows), len(chosen), height_ratios=heights, hspace=0.02, wspace=0.02)
    for column, (index, frame) in enumerate(zip(chosen, frames, strict=True)):
        for row, ((draw, details, label), _) in enumerate(rows):
            axes = part.add_subplot(grid[row, column])
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_color("#d1d5db")
            draw(axes, details, frame)
            if column == 0:
                axes.set_ylabel(label, fontsize=8, color=FAINT)
            if row == 0:
                axes.set_title(f"{index / episode.fps:.2f} s  (frame {index})", fontsize=9, color=INK)


def _draw_image(axes: Axes, key: str, frame: Frame) -> None:
    axes.imshow(frame[key])


def _draw_depth(axes: Axes, details: tuple, frame: Frame) -> None:
    key, (near, far) = details
    axes.set_facecolor("black")
    axes.imshow(np.ma.masked_equal(frame[key], 0), cmap="turbo", vmin=near, vmax=far)


def _draw_cloud(axes: Axes, details: tuple, frame: Frame) -> None:
    episode, scene, view, (low, high) = details
    points = without_padding(frame[episode.clouds[0]])
    colors = scene.colors(points)
    xyz = points[:, :3]
    for key in episode.clouds[1:]:
        further = without_padding(frame[key])[:, :3]
        xyz = np.concatenate([xyz, further])
        colors = np.concatenate([colors, np.broadcast_to(SECOND_CLOUD, further.shape)])
    places, nearness = view(scene, xyz.astype(np.float64))
    order = np.argsort(nearness)
    axes.set_facecolor(PAPER)
    axes.scatter(*places[order].T, c=colors[order] / 255, s=_dot_size(len(xyz)), linewidths=0)
    if episode.crop is not None and view is _from_above:
        (left, front, _), (right, back, _) = episode.crop
        axes.plot([left, right, right, left, left], [front, front, back, back, front], color=FAINT, linewidth=0.8)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    if view is _from_above:
        _scale_bar(axes, low, high)


def _from_above(scene: Scene, points: NDArray) -> tuple[NDArray, NDArray]:
    """Right and up (n, 2), and how near (n,), as `Scene.project`."""
    return points[:, :2], points[:, 2]


def _scale_bar(axes: Axes, low: NDArray, high: NDArray) -> None:
    """A bar of a round length, about a quarter of the width."""
    quarter = (high[0] - low[0]) / 4
    magnitude = 10 ** np.floor(np.log10(quarter))
    length = magnitude * max(step for step in (1, 2, 5) if step * magnitude <= quarter)
    x, y = low + 0.05 * (high - low)
    axes.plot([x, x + length], [y, y], color=INK, linewidth=2, solid_capstyle="butt", zorder=3)
    text = f"{length * 100:g} cm" if length < 1 else f"{length:g} m"
    paper = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1}
    axes.annotate(text, (x, y), xytext=(1, 5), textcoords="offset points", fontsize=7, color=INK, bbox=paper, zorder=3)


def _draw_signal(part: SubFigure, key: str, curve: Signal, episode: ShownEpisode, chosen: list[int]) -> None:
    """Draw curves, or a heat map if there are too many curves to tell apart."""
    axes = part.add_subplot()
    seconds = episode.seconds()
    step = 1 / episode.fps
    if len(curve.names) <= MANY_LINES:
        for name, values, color in zip(curve.names, curve.values.T, line_colors(len(curve.names)), strict=True):
            axes.plot(seconds, values, linewidth=1.3, color=color / 255, label=name)
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": len(curve.names)}
        axes.legend(**place, fontsize=7, frameon=False, handlelength=1.2, borderaxespad=0.1)
        axes.set_ylabel(key, fontsize=8, color=FAINT)
        axes.grid(alpha=0.25)
    else:
        low, high = curve.values.min(axis=0), curve.values.max(axis=0)
        scaled = (curve.values - low) / np.where(high > low, high - low, 1)
        extent = (-step / 2, seconds[-1] + step / 2, len(curve.names) - 0.5, -0.5)
        axes.imshow(scaled.T, aspect="auto", cmap="magma", extent=extent, interpolation="nearest")
        axes.set_ylabel(f"{key}\neach from its lowest\nto its highest", fontsize=7, color=FAINT)
    for index in chosen:
        axes.axvline(seconds[index], color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_xlim(-step / 2, seconds[-1] + step / 2)
    axes.set_xlabel("seconds", fontsize=8, color=FAINT)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _dot_size(points: int) -> float:
    """Dot area in square points with which a cloud of `points` points looks like a surface."""
    return float(np.clip(12000 / max(points, 1), 1.5, 16))
