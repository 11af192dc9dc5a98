"""Two pictures: decisions against the deadline, and what becomes of success as decisions take longer."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from simulated_robot import MILLISECOND

from lerobot_sdm.measure.pictures import BLUE, INK, PALE, RED, save_figure

COLORS = (BLUE, RED, INK)


def timeline_plot(results: dict[str, Any], path: Path) -> None:
    """Draw the first episode of the first point: a bar for each decision, the deadline, and the periods that were held.

    Args:
        results: Content of `results.json`.
        path: PNG file to write.
    """
    point, period = results["points"][0], results["period_ms"]
    rows = point["rows"]
    figure = Figure(figsize=(9, 2.3 * len(rows) + 0.6), layout="constrained")
    panels = figure.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, row, color in zip(panels, rows, itertools.cycle(COLORS), strict=False):
        ticks = results["timelines"][row["label"]]
        starts = np.array([tick["start"] for tick in ticks]) / MILLISECOND
        decisions = np.array([tick["decision"] for tick in ticks]) / MILLISECOND
        missed = np.array([tick["missed"] for tick in ticks])
        for start, number in zip(starts[missed > 0], missed[missed > 0], strict=True):
            axes.axvspan(start, start + number * period, color=PALE, alpha=0.5, linewidth=0)
        axes.bar(starts, decisions, width=0.8 * period, align="edge", color=color)
        axes.axhline(period, color=INK, linestyle="--", linewidth=1)
        late = int(np.sum(missed > 0))
        axes.set_title(f"{row['label']}: {late} of {len(missed)} decisions too late", loc="left", fontsize=10)
        axes.set_ylabel("decision, ms")
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("the robot's time, ms (gray: periods in which it held its last command)")
    panels[0].annotate("deadline", (0, period), xytext=(2, 2), textcoords="offset points", fontsize=9, color=INK)
    figure.suptitle(f"{_task(results)}, {results['settings']['fps']:g} Hz, {_origin(results, point)}", fontsize=11)
    save_figure(figure, path)


def sweep_plot(results: dict[str, Any], path: Path) -> None:
    """Draw late plans and success against the factor on decision times.

    Args:
        results: Content of `results.json`.
        path: PNG file to write.
    """
    points, settings = results["points"], results["settings"]
    factors = [point["slowdown"] for point in points]
    measured = [results["measured"] and factor == 1 for factor in factors]
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    held, success = figure.subplots(2, 1, sharex=True)
    for index, (label, color) in enumerate(
        zip((row["label"] for row in points[0]["rows"]), itertools.cycle(COLORS), strict=False)
    ):
        rows = [point["rows"][index] for point in points]
        shares = [100 * row["periods_held"] / row["periods"] for row in rows]
        rates = [100 * row["success_rate"]["estimate"] for row in rows]
        limits = [[100 * row["success_rate"][side] for row in rows] for side in ("low", "high")]
        shift = 1 + 0.04 * (index - 0.5)  # Intervals side by side.
        _line(held, factors, shares, color, label, measured)
        _line(success, [shift * factor for factor in factors], rates, color, label, measured)
        success.vlines([shift * factor for factor in factors], *limits, color=color, alpha=0.45, linewidth=3)
        for factor, row, share in zip(factors, rows, shares, strict=True):
            text = f"{row['planning']['p50_ms']:.3g} ms"
            place = {"xytext": (0, 7) if index == 0 else (0, -14), "textcoords": "offset points", "ha": "center"}
            held.annotate(text, (factor, share), **place, fontsize=8, color=color)
    held.set_ylabel("control periods held, %")
    held.set_ylim(-14, 108)
    held.set_title(
        f"{_task(results)}, {settings['fps']:g} Hz, {settings['interface']} interface", loc="left", fontsize=11
    )
    success.set_ylabel("success, %, 95% Wilson interval")
    success.set_ylim(-4, 104)
    success.set_xscale("log", base=2)
    success.set_xticks(factors, [f"{factor:g}" for factor in factors])
    success.set_xlabel("decision times multiplied by (1: as measured; the others stand for slower computers)")
    for axes in (held, success):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    held.legend(loc="upper left", frameon=False)
    save_figure(figure, path)


def _line(axes: Axes, x: list[float], y: list[float], color: str, label: str, measured: list[bool]) -> None:
    """A line whose filled points were measured; open ones come from times that were multiplied."""
    axes.plot(x, y, color=color, linewidth=1.2, alpha=0.7, label=label)
    for a, b, filled in zip(x, y, measured, strict=True):
        axes.plot(a, b, "o", color=color, markerfacecolor=color if filled else "white", markersize=7, zorder=3)


def _task(results: dict[str, Any]) -> str:
    settings = dict(part.partition("=")[::2] for part in results["settings"]["env"].split(","))
    return settings.get("task", "metaworld")


def _origin(results: dict[str, Any], point: dict[str, Any]) -> str:
    if not results["measured"]:
        return "decision times as given"
    return "decision times as measured" if point["slowdown"] == 1 else f"measured times x {point['slowdown']:g}"
