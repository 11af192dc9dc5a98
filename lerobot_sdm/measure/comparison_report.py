"""A comparison's report: its table, with notes."""

from typing import Any

from lerobot_sdm.measure import tables


def report(results: dict[str, Any]) -> tables.Report:
    """The table of a comparison's `results.json`, with notes."""
    rows = [_cells(row, is_reference=number == 0) for number, row in enumerate(results["rows"])]
    return tables.Report(results["task"], [_header(results), *rows], _notes(results))


def _header(results: dict[str, Any]) -> tuple[str, ...]:
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


def _notes(results: dict[str, Any]) -> str:
    """Notes below the table."""
    (first, last), latency = results["evaluation_seeds"], results["rows"][0]["latency"]
    trainings = "; ".join(
        f"{row['label']}: {row['training']['steps']} steps of {row['training']['batch_size']}"
        for row in results["rows"]
        if row["training"]
    )
    return tables.bullets(
        f"`{results['task']}`, seeds {first} to {last}, the same for every row; the highest {results['reward']} of "
        "each episode: mean and 95% bootstrap interval, differences over the same seeds in points. Success: Wilson "
        "interval; differences: Newcombe's interval for pairs, in points.",
        *([f"Trainings: {trainings}."] if trainings else []),
        "Milliseconds: median (95th percentile) from raw observation to the first action of a chunk, batch size 1, "
        f"{latency['device']}, {latency['threads']} thread(s), "
        f"{tables.hardware(latency['device'], results['machine'])}.",
        f"Versions: {tables.versions(results['versions'])}.",
    )


def _cells(row: dict[str, Any], is_reference: bool) -> tuple[str, ...]:
    percent = 0.01
    return (
        row["label"],
        tables.interval(row["max_reward"], "{:z.1f}", percent),
        "" if is_reference else tables.interval(row["max_reward_difference"], "{:+z.1f}", percent),
        tables.count(row["successes"]),
        tables.limits(row["success_rate"]),
        "" if is_reference else tables.interval(row["success_difference"], "{:+z.0f}", percent),
        *tables.cost(row["latency"]),
    )
