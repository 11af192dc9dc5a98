"""The table of a run, as Markdown and for a terminal."""

from typing import Any

from rich.table import Table

from lerobot_sdm.measure.stages import format_seconds

HEADER = (
    "policy",
    "success",
    "95% interval",
    "against teacher, 10 steps",
    "ms per chunk",
    "network evaluations",
    "energy distance to teacher",
    "spread",
)
SHORT_HEADER = ("policy", "success", "95%", "vs teacher", "ms", "NFE", "energy", "spread")


def table_rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Cells of the table, one tuple for each row of `results.json`, in the order of `header`."""
    return [_cells(row) for row in results["rows"]]


def header(results: dict[str, Any], names: tuple[str, ...] = HEADER) -> tuple[str, ...]:
    """Names of the columns; further rules of success stand behind the differences to the teacher."""
    rules = results["rows"][0].get("other_rules", {})
    return (*names[:4], *(f"success, {rule}" for rule in rules), *names[4:])


def markdown_table(results: dict[str, Any]) -> str:
    """The table in Markdown."""
    names = header(results)
    lines = [names, ("---",) + ("---:",) * (len(names) - 1), *table_rows(results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def terminal_table(results: dict[str, Any]) -> Table:
    """The table for a terminal: narrower, without the intervals of the distances."""
    table = Table(title=f"{results['task']}, {len(results['rows'][0]['successes'])} episodes for each row")
    for index, name in enumerate(header(results, SHORT_HEADER)):
        table.add_column(name, justify="left" if index == 0 else "right")
    for cells in table_rows(results):
        *others, energy, spread = cells
        table.add_row(*others, energy.partition(" ")[0], spread.partition(" ")[0])
    return table


def summary(results: dict[str, Any]) -> str:
    """What the table rests on, in Markdown: seeds, demonstrations, trainings, machine, versions."""
    settings, machine = results["settings"], results["machine"]
    first, last = results["evaluation_seeds"]
    seconds = {record["stage"]: record["seconds"] for record in results["stages"]}
    trainings = "; ".join(
        f"{run}: {settings[run]['steps']} steps of {settings[run]['batch_size']} in "
        f"{format_seconds(seconds[f'train_{run}'])}"
        for run in ("teacher", "student")
    )
    distances = results["distances"]
    hardware = machine["gpu"] if settings["device"] != "cpu" else machine["processor"]
    return (
        f"- Task `{results['task']}`, {settings['episodes']} demonstrations; evaluated on seeds {first} to {last}, "
        "the same for every row. Success: Wilson interval; differences: Newcombe's interval for pairs, in points.\n"
        f"- Trainings: {trainings}.\n"
        f"- Energy distance and spread: {distances['samples']} action chunks on each of "
        f"{distances['observations']} held-out observations, in {distances['unit']}; mean and 95% bootstrap "
        "interval. The first teacher row compares the teacher with itself under other noise. Energy distance of "
        f"the one-step read-out minus that of the student: {_measure(results['read_out_minus_student'])}.\n"
        f"- Milliseconds: median (95th percentile) from raw observation to the first action of a chunk, batch "
        f"size 1, {settings['device']}, {settings['threads']} thread(s), {hardware}.\n"
        f"- Versions: {', '.join(f'{name} {version}' for name, version in results['versions'].items())}.\n"
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    rate, difference, latency = row["success_rate"], row["difference_to_teacher"], row["latency"]
    distance = row["distance_to_teacher"]
    is_reference = row["key"] == "teacher_10"
    return (
        row["label"],
        f"{sum(row['successes'])}/{len(row['successes'])}",
        f"{100 * rate['low']:.0f} to {100 * rate['high']:.0f}%",
        "" if is_reference else points(difference),
        *(_count_and_interval(rule) for rule in row.get("other_rules", {}).values()),
        f"{latency['median_ms']:.1f} ({latency['p95_ms']:.1f})" if latency else "",
        f"{latency['network_evaluations']:g}" if latency else "",
        _measure(distance.get("energy")),
        _measure(distance.get("spread")),
    )


def _count_and_interval(rule: dict[str, Any]) -> str:
    rate = rule["success_rate"]
    return f"{sum(rule['successes'])}/{len(rule['successes'])} ({100 * rate['low']:.0f} to {100 * rate['high']:.0f}%)"


def points(difference: dict[str, float]) -> str:
    """A difference of success rates with its interval, in points."""
    estimate, low, high = (round(100 * difference[name]) for name in ("estimate", "low", "high"))
    return f"{estimate:+d} ({low:+d} to {high:+d})"


def _measure(interval: dict[str, float] | None) -> str:
    if interval is None:
        return ""
    return f"{interval['estimate']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"
