"""Write the committed results into the README, `docs/views.md` and `results/README.md`, so that no number is typed.

    uv run python examples/update_readme.py

Reads `results/*/results.json`. In `README.md` it replaces what stands between markers: one line for each run of the
quickstart, and the summary of each benchmark; in `docs/views.md`, the comparison of two views. `results/README.md` gets
all tables.
"""

from functools import cache
from pathlib import Path
from typing import Any

from lerobot_sdm.files import read_json, write_text
from lerobot_sdm.measure import benchmark_page, comparison_report, quickstart_report, tables
from lerobot_sdm.measure.methods import METHODS
from lerobot_sdm.measure.protocols import PAPER, STRICT
from lerobot_sdm.measure.scores import difference, measured_by
from lerobot_sdm.measure.suites import suite_tasks

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- {}: begin (examples/update_readme.py) -->", "<!-- {}: end -->"
NONE = "No results are committed yet.\n"
UNMEASURED = (
    "The 37 tasks of the DP3 benchmark have not been measured in this view yet; "
    "[first measurements](docs/notes/teacher_recipe.md) of some of them.\n"
)
SHOWN_ROWS = {
    "teacher_10": "teacher, 10 steps",
    "teacher_1": "teacher, 1 step",
    "generator": "untrained student",
    "student": "student",
}
SHOWN_RUNS = ("detour",)
SHOWN_BENCHMARKS = ("dp3-37",)
"""What the README shows, by folder; all else stands in `results/README.md`."""
VIEWS = {"workspace": "dp3-37", "dp3": "dp3-37-view-dp3"}
"""View -> folder of the same benchmark in that view."""
SHOWN_COLUMNS = {
    "method": "method",
    "all": "success in %",
    "against its teacher": "against its teacher, points",
    "ms per chunk": "ms per chunk",
}
"""Columns of a benchmark's summary that the README shows, by the beginning of their names, and their names there."""


@cache
def all_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Contents of all results below a folder, by the folder's name."""
    return {file.parent.name: read_json(file) for file in sorted(folder.glob("*/results.json"))}


def overview(folder: Path) -> str:
    """One item for each run of the quickstart; a sentence where there are none yet."""
    runs = {name: results for name, results in all_results(folder).items() if name in SHOWN_RUNS}
    if not runs:
        return NONE
    lines = []
    for name, results in runs.items():
        counts = {row["key"]: tables.count(row["successes"]) for row in results["rows"]}
        shown = "; ".join(f"{label}: {counts[key]}" for key, label in SHOWN_ROWS.items())
        lines.append(f"[{name}](results/README.md#{name}), successful episodes: {shown}.")
    return tables.bullets(*lines)


def benchmarks(folder: Path) -> str:
    """Summary of each benchmark, see `benchmark_table`; a sentence where tasks are missing."""
    parts = []
    for name, results in all_results(folder).items():
        summaries = [item for item in results.get("summaries", ()) if item["protocol"] == STRICT]
        if name not in SHOWN_BENCHMARKS or not summaries:
            continue
        measured, wanted = len(summaries[0]["tasks"]), len(suite_tasks(results["settings"]["suite"]))
        if measured < wanted:
            page = f"[{measured} are measured](results/{name}/results.md)"
            parts.append(f"Of the {wanted} tasks of the DP3 benchmark, {page} so far.\n")
            continue
        parts.append(benchmark_table(results, summaries[0]))
    return "\n".join(parts) or UNMEASURED


def benchmark_table(results: dict[str, Any], strict: dict[str, Any]) -> str:
    """Some columns of a summary under the strict protocol, and the means under the papers' in a column of its own,
    where they were measured on the same tasks and seeds."""
    header, *rows = benchmark_page.summary_rows(results, strict)
    kept = {
        place: shown
        for start, shown in SHOWN_COLUMNS.items()
        for place, name in enumerate(header)
        if name.startswith(start)
    }
    means: dict[str, str] = {}
    for other in results["summaries"]:
        if other["protocol"] == PAPER and all(other[name] == strict[name] for name in ("tasks", "seeds")):
            means |= {row["label"]: tables.rate(row["all"]) for row in other["rows"]}
    shown = [(*kept.values(), *["papers' protocol"] * bool(means))]
    shown += [(*(row[place] for place in kept), *[means.get(row[0], "")] * bool(means)) for row in rows]
    return tables.markdown(shown)


def view_table(folder: Path) -> str:
    """Success in two views, for the tasks and methods that were measured in the second, with training seed 1; and the
    change from the first to the second, over the same starts of all tasks."""
    found = all_results(folder)
    first, second = (
        {
            (cell["task"], cell["method"]): cell
            for cell in measured_by(found[name]["cells"], STRICT)
            if cell["training_seed"] == 1
        }
        for name in VIEWS.values()
    )
    tasks, methods = (list(dict.fromkeys(names)) for names in zip(*second, strict=True))
    rows = [("task", *(f"{METHODS[method].label}: {view}" for method in methods for view in VIEWS))]
    for task in tasks:
        rows.append(
            (task, *(tables.rate(cells[task, method]["score"]) for method in methods for cells in (first, second)))
        )
    last = ["all: change in points"]
    for method in methods:
        after, before = ([cells[task, method] for task in tasks] for cells in (second, first))
        last += ["", tables.points(difference(after, before))]
    return tables.markdown([*rows, last])


def kind(results: dict[str, Any]) -> str:
    """What wrote some results: "benchmark", "quickstart" or "comparison"."""
    return "benchmark" if "cells" in results else "quickstart" if "settings" in results else "comparison"


def page(folder: Path) -> str:
    """All tables."""
    parts = ["# Results\n\nWritten by `examples/update_readme.py` from the `results.json` of each folder.\n"]
    for name, results in all_results(folder).items():
        if kind(results) == "benchmark":
            for summary in results["summaries"]:
                parts.append(
                    f"## {name}: {benchmark_page.title(summary)}\n\n{benchmark_page.summary_table(results, summary)}"
                )
            parts.append(f"[All of it]({name}/results.md)\n")
            continue
        module = quickstart_report if kind(results) == "quickstart" else comparison_report
        parts.append(f"## {name}\n\n{module.report(results).markdown()}")
    return "\n".join(parts)


def updated(readme: str, part: str, text: str) -> str:
    """A page with what stands between the markers of a part replaced.

    Raises:
        ValueError: If a marker is missing.
    """
    begin, end = BEGIN.format(part), END.format(part)
    before, found, rest = readme.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"The page needs the markers {begin} and {end}.")
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def written(readme: str, folder: Path) -> str:
    """The README with all parts that come from results."""
    return updated(updated(readme, "results", overview(folder)), "benchmark", benchmarks(folder))


if __name__ == "__main__":
    readme = ROOT / "README.md"
    write_text(readme, written(readme.read_text(), ROOT / "results"))
    write_text(ROOT / "results" / "README.md", page(ROOT / "results"))
    views = ROOT / "docs" / "views.md"
    write_text(views, updated(views.read_text(), "views", view_table(ROOT / "results")))
