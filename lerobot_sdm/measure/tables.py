"""Format tables and numbers for Markdown and terminals. Shared by all reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

Estimate = Mapping[str, float]
"""`estimate`, `low` and `high`: a `statistics.Interval` as stored in results."""


@dataclass(frozen=True)
class Report:
    """A table with notes below it.

    Args:
        title: Shown above the table in a terminal.
        rows: The table, with the header first.
        notes: Markdown.
        narrow: The table for a terminal, if the other one is too wide.
    """

    title: str
    rows: Sequence[Sequence[str]]
    notes: str
    narrow: Sequence[Sequence[str]] | None = None

    def markdown(self) -> str:
        """Table and notes."""
        return f"{markdown(self.rows)}\n{self.notes}"

    def terminal(self) -> Table:
        """The table alone."""
        header, *others = self.narrow or self.rows
        table = Table(title=self.title)
        for number, name in enumerate(header):
            table.add_column(name, justify="right" if number else "left")
        for cells in others:
            table.add_row(*cells)
        return table


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Rows as a Markdown table, with the first as header."""
    header, *others = rows
    lines = [header, ("---",) + ("---:",) * (len(header) - 1), *others]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def without(rows: Sequence[Sequence[str]], *names: str) -> list[tuple[str, ...]]:
    """Rows, with the header first, without the columns of some names."""
    kept = [place for place, name in enumerate(rows[0]) if name not in names]
    return [tuple(row[place] for place in kept) for row in rows]


def bullets(*lines: str) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines) + "\n"


def hardware(device: str, machine: Mapping[str, Any]) -> str:
    """What a device is, on a machine as in `records.machine`."""
    return machine["gpu"] if device.startswith("cuda") else machine["processor"]


def count(successes: Sequence[bool]) -> str:
    """Successful episodes of all: 9/10."""
    return f"{sum(successes)}/{len(successes)}"


def limits(rate: Estimate) -> str:
    """The interval of a success rate, in %."""
    return f"{100 * rate['low']:.0f} to {100 * rate['high']:.0f}%"


def points(difference: Estimate) -> str:
    """A difference of success rates with its interval, in points, never as a negative zero."""
    estimate, low, high = (round(100 * difference[name]) for name in ("estimate", "low", "high"))
    return f"{estimate:+d} ({low:+d} to {high:+d})"


def interval(value: Estimate | None, form: str = "{:z.3f}", unit: float = 1.0) -> str:
    """An estimate with its limits, in a unit; blank if not measured."""
    if value is None:
        return ""
    estimate, low, high = (form.format(value[name] / unit) for name in ("estimate", "low", "high"))
    return f"{estimate} ({low} to {high})"


def rate(value: Estimate) -> str:
    """A success rate in %, with its interval and its deviation between training seeds, if any."""
    text = f"{100 * value['estimate']:.1f}"
    if "seed_sd" in value:
        text += f" ± {100 * value['seed_sd']:.1f}"
    if "low" in value:
        text += f" ({100 * value['low']:.1f} to {100 * value['high']:.1f})"
    return text


def distance(value: float | None) -> str:
    """A distance with three digits; blank if not measured. The estimate is unbiased, so it can be below 0."""
    return "" if value is None else f"{value:z.3f}"


def cost(latency: Mapping[str, Any] | None) -> tuple[str, str]:
    """Milliseconds (median and 95th percentile) and network evaluations of a chunk; blank if not timed."""
    if not latency:
        return "", ""
    return f"{latency['median_ms']:.1f} ({latency['p95_ms']:.1f})", f"{latency['network_evaluations']:g}"


def versions(found: Mapping[str, str]) -> str:
    """Packages with their versions."""
    return ", ".join(f"{name} {version}" for name, version in found.items())
