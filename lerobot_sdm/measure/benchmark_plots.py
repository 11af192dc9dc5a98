"""A benchmark's plots: success by difficulty, success against latency, learning curves."""

import math
from pathlib import Path
from statistics import mean
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from lerobot_sdm.measure.methods import METHODS, RUNS
from lerobot_sdm.measure.pictures import save_figure
from lerobot_sdm.measure.protocols import PAPER
from lerobot_sdm.measure.scores import Cells, measured_by
from lerobot_sdm.measure.suites import LEVELS

# Mostly Okabe and Ito's colors, which color-blind people tell apart.
PALETTE = (
    *("#555555", "#0072B2", "#56B4E9", "#BBBBBB", "#8C564B", "#D55E00", "#F0A07A", "#009E73", "#7A4FA3", "#CC79A7"),
    *("#E69F00", "#F0E442", "#117733", "#882255", "#4D4D00", "#B5BD00"),
)
COLORS = dict(zip(METHODS, PALETTE, strict=True))
RUN_COLORS = {run: next(COLORS[key] for key, method in METHODS.items() if method.run == run) for run in RUNS}

Results = dict[str, Any]

ROUNDED_AWAY = 0.005
"""LeRobot logs losses with three decimals: of smaller ones little is left."""


def success_by_difficulty(results: Results) -> Figure:
    """Mean success of each method at each level, with intervals if there are any."""
    summary = results["summaries"][0]
    entries = summary["rows"]
    levels = [level for level in LEVELS if level in entries[0]["levels"]]
    figure, axes = _figure(3.5 + 1.4 * len(levels), _title(results, summary))
    width = 0.8 / len(entries)
    for number, entry in enumerate(entries):
        for place, level in enumerate(levels):
            value, x = entry["levels"][level], place + (number - (len(entries) - 1) / 2) * width
            color = COLORS[entry["method"]]
            label = entry["method"] if place == 0 else None
            axes.bar(x, 100 * value["estimate"], 0.85 * width, color=color, label=label)
            if "low" in value:
                axes.plot([x, x], [100 * value["low"], 100 * value["high"]], color="black", linewidth=1)
    if expert := summary.get("expert"):
        for place, level in enumerate(levels):
            height = 100 * expert["levels"][level]["estimate"]
            label = "the expert" if place == 0 else None
            axes.plot([place - 0.45, place + 0.45], [height] * 2, "--", color="black", linewidth=1, label=label)
    axes.set_xticks(range(len(levels)), [LEVELS[level].replace("MetaWorld ", "MetaWorld\n") for level in levels])
    axes.set_ylim(0, 101)
    axes.set_ylabel("success in %")
    _legend(axes)
    _tidy(axes, "y")
    return figure


def success_against_latency(results: Results) -> Figure:
    """Success against latency, one point per method."""
    summary = results["summaries"][0]
    figure, axes = _figure(7, _title(results, summary))
    for entry in summary["rows"]:
        value, color = entry["all"], COLORS[entry["method"]]
        if "low" in value:
            axes.plot([entry["ms"]] * 2, [100 * value["low"], 100 * value["high"]], color=color, alpha=0.5)
        axes.plot(entry["ms"], 100 * value["estimate"], "o", color=color, markersize=8, label=entry["method"])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("median milliseconds for a chunk of actions")
    axes.set_ylabel("success in %, mean over tasks")
    axes.set_ylim(-2, 102)
    _legend(axes)
    _tidy(axes, "both")
    return figure


def learning_curves(results: Results) -> Figure:
    """Success during training if several checkpoints were evaluated; otherwise training losses."""
    cells = measured_by(results["cells"], PAPER)
    return _success_curves(results, cells) if cells else _loss_curves(results)


def _success_curves(results: Results, measured: Cells) -> Figure:
    figure, axes = _figure(7, f"{_title(results)}, protocol {PAPER}")
    for key in METHODS:
        cells = [cell for cell in measured if cell["method"] == key]
        curves = [[mean(item["successes"]) for item in cell["evaluations"]] for cell in cells]
        if curves:
            # Tasks of one size train for the same number of steps.
            share = np.linspace(0, 100, len(curves[0]) + 1)[1:]
            axes.plot(share, 100 * np.mean(curves, axis=0), color=COLORS[key], marker=".", label=key)
    axes.set_xlabel("share of the training in %")
    axes.set_ylabel("success in %, mean over tasks and seeds")
    axes.set_ylim(-2, 102)
    _legend(axes)
    _tidy(axes, "both")
    return figure


def _loss_curves(results: Results) -> Figure:
    """One panel per kind of training, since their losses are not comparable; one line per task and seed."""
    curves: dict[str, dict[tuple[str, int], Any]] = {}
    for cell in results["cells"]:
        for run, training in cell["trainings"].items():
            curves.setdefault(run, {})[cell["task"], cell["training_seed"]] = training["loss"]
    runs = [run for run in RUNS if run in curves]
    columns = min(3, len(runs))
    rows = math.ceil(len(runs) / columns)
    figure = Figure(figsize=(2 + 2.6 * columns, 0.4 + 2.6 * rows), layout="constrained")
    for place, run in enumerate(runs, start=1):
        axes = figure.add_subplot(rows, columns, place)
        for line in filter(None, curves[run].values()):
            axes.plot(*zip(*line, strict=True), color=RUN_COLORS[run], alpha=0.6, linewidth=1)
        axes.set_title(run, fontsize=10)
        axes.set_xlabel("step")
        if axes.dataLim.y1 < ROUNDED_AWAY:
            axes.set_ylim(0, ROUNDED_AWAY)
            axes.text(0.5, 0.9, "logged to three decimals", transform=axes.transAxes, ha="center", fontsize=8)
        axes.locator_params(axis="x", nbins=4)
        _tidy(axes, "both")
    figure.supylabel("training loss", fontsize=10)
    figure.suptitle(_title(results), x=0.01, ha="left", fontsize=10)
    return figure


DRAWINGS = {drawing.__name__: drawing for drawing in (success_by_difficulty, success_against_latency, learning_curves)}


def draw(name: str, results: Results, folder: Path) -> None:
    """Write one of the page's plots as PNG."""
    save_figure(DRAWINGS[name](results), folder / f"{name}.png")


def _title(results: Results, summary: dict[str, Any] | None = None) -> str:
    settings = results["settings"]
    title = f"{settings['suite']}, size {settings['size']}, view {settings['view']}"
    if summary is None:
        return title
    count = len(summary["tasks"])
    return f"{title}, {'1 task' if count == 1 else f'{count} tasks'}, protocol {summary['protocol']}"


def _figure(width: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10)
    return figure, axes


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)


def _tidy(axes: Axes, grid: Literal["both", "x", "y"]) -> None:
    axes.grid(axis=grid, alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
