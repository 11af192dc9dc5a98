"""What a comparison shows: its run, its table and its picture."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from lerobot_sdm.measure.comparison import Comparison, collect_comparison, evaluations, measure_costs
from lerobot_sdm.measure.files import write_json, write_text
from lerobot_sdm.measure.pictures import BLUE, INK, PALE, save_figure
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart import run_warm
from lerobot_sdm.measure.stages import claim_folder
from lerobot_sdm.processes.threads import passive_waiting


def run_comparison(
    comparison: Comparison, layout: RunLayout, console: Console, verbose: bool = False
) -> dict[str, Any]:
    """Do what has not been done yet of a comparison, and write its results anew.

    Args:
        comparison: Rows that were not there before are added; those that were must have the same weights.
        layout: Its folder; a new one, an empty one, or that of an earlier call with the same protocol.
        console: Where to report.
        verbose: Show everything that the commands print.

    Returns:
        Content of `results.json`.

    Raises:
        InputError: A policy does not fit the environment, the folder belongs to something else, the protocol changed,
            or a finished row's weights did.
        CommandFailedError: An evaluation fails.
    """
    from lerobot_sdm.measure.contenders import read_config
    from lerobot_sdm.policies.sizes import check_environment

    for policy in comparison.policies:
        check_environment(read_config(policy), comparison.env_config(), policy.path)
    stages = evaluations(comparison, layout)
    claim_folder(layout.root, comparison.protocol())
    variables = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(comparison.threads), **passive_waiting()}
    run_warm(stages, layout.root, console, os.environ | variables, verbose)
    with console.status("Timing action chunks"):
        costs = measure_costs(comparison)
    results = collect_comparison(comparison, layout, costs)
    reward_plot(results, layout.root / "rewards.png")
    write_text(layout.root / "table.md", f"{markdown_table(results)}\n{summary(results)}")
    write_json(layout.results, results)
    return results


def header(results: dict[str, Any]) -> tuple[str, ...]:
    """Names of the table's columns."""
    reference, reward = results["rows"][0]["label"], results["reward"]
    return (
        "policy",
        f"mean max {reward} in %",
        f"against {reference}",
        "success",
        "95% interval",
        f"against {reference}",
        "ms per chunk",
        "network evaluations",
    )


def table_rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Cells of the table, one tuple for each row."""
    return [_cells(row, is_reference=number == 0) for number, row in enumerate(results["rows"])]


def markdown_table(results: dict[str, Any]) -> str:
    """The table in Markdown."""
    names = header(results)
    lines = [names, ("---",) + ("---:",) * (len(names) - 1), *table_rows(results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def terminal_table(results: dict[str, Any]) -> Table:
    """The table for a terminal."""
    table = Table(title=results["task"])
    for number, name in enumerate(header(results)):
        table.add_column(name, justify="right" if number else "left")
    for cells in table_rows(results):
        table.add_row(*cells)
    return table


def summary(results: dict[str, Any]) -> str:
    """What the table rests on, in Markdown."""
    (first, last), latency = results["evaluation_seeds"], results["rows"][0]["latency"]
    trainings = "; ".join(
        f"{row['label']}: {row['training']['steps']} steps of {row['training']['batch_size']}"
        for row in results["rows"]
        if row["training"]
    )
    return (
        f"- `{results['task']}`, seeds {first} to {last}, the same for every row; the highest {results['reward']} of "
        "each episode: mean and 95% bootstrap interval, differences over the same seeds in points. Success: Wilson "
        "interval; differences: Newcombe's interval for pairs, in points.\n"
        f"- Trainings: {trainings}.\n"
        "- Milliseconds: median (95th percentile) from raw observation to the first action of a chunk, batch size 1, "
        f"{latency['device']}, {latency['threads']} thread(s), {results['machine']['processor']}.\n"
        f"- Versions: {', '.join(f'{name} {version}' for name, version in results['versions'].items())}.\n"
    )


def reward_plot(results: dict[str, Any], path: Path) -> None:
    """Draw each row's highest rewards, episode by episode, and their mean with its interval.

    Args:
        results: Content of `results.json`.
        path: PNG file to write.
    """
    rows = results["rows"]
    figure = Figure(figsize=(7.5, 0.8 * len(rows) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    jitter = np.random.default_rng(0).uniform(-0.22, 0.22, len(rows[0]["max_rewards"]))
    for height, row in enumerate(reversed(rows)):
        mean = {name: 100 * value for name, value in row["max_reward"].items()}
        axes.scatter(100 * np.array(row["max_rewards"]), height + jitter, s=9, color=PALE, linewidths=0)
        axes.plot([mean["low"], mean["high"]], [height, height], color=BLUE, linewidth=3, alpha=0.6)
        axes.plot(mean["estimate"], height, "o", color=BLUE, markersize=8)
        axes.annotate(f"{mean['estimate']:.1f}", (103, height), va="center", color=INK, annotation_clip=False)
    axes.set_yticks(range(len(rows)), [row["label"] for row in reversed(rows)])
    axes.set_xlim(-2, 101)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(f"highest {results['reward']} of an episode in %; mean with 95% bootstrap interval")
    kind = results["task"].partition(",")[0]
    axes.set_title(f"{kind}: the same {len(jitter)} seeds for every row", loc="left")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    save_figure(figure, path)


def _cells(row: dict[str, Any], is_reference: bool) -> tuple[str, ...]:
    rate, latency = row["success_rate"], row["latency"]
    return (
        row["label"],
        _interval(row["max_reward"], "{:.1f}"),
        "" if is_reference else _interval(row["max_reward_difference"], "{:+.1f}"),
        f"{sum(row['successes'])}/{len(row['successes'])}",
        f"{100 * rate['low']:.0f} to {100 * rate['high']:.0f}%",
        "" if is_reference else _interval(row["success_difference"], "{:+.0f}"),
        f"{latency['median_ms']:.1f} ({latency['p95_ms']:.1f})",
        f"{latency['network_evaluations']:g}",
    )


def _interval(interval: dict[str, float], form: str) -> str:
    estimate, low, high = (form.format(100 * interval[name]) for name in ("estimate", "low", "high"))
    return f"{estimate} ({low} to {high})"
