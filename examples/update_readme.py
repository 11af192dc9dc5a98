"""Write the committed results into the README and into `results/README.md`, so that no number is typed by hand.

    uv run python examples/update_readme.py

Reads `results/*/results.json`. In `README.md` it replaces what stands between two markers by one line for each task;
`results/README.md` gets all tables.
"""

from pathlib import Path
from typing import Any

from lerobot_sdm.pipeline import comparison_report, tables
from lerobot_sdm.pipeline.files import read_json, write_text

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: begin (examples/update_readme.py) -->", "<!-- results: end -->"
SHOWN = ("teacher_10", "teacher_1", "student")


def all_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Contents of all results below a folder, by the folder's name."""
    return {file.parent.name: read_json(file) for file in sorted(folder.glob("*/results.json"))}


def overview(folder: Path) -> str:
    """One line for each run of the quickstart; a sentence where there are none yet."""
    # A comparison's results have no settings of a pipeline.
    runs = {name: results for name, results in all_results(folder).items() if "settings" in results}
    if not runs:
        return "No results are committed yet.\n"
    header = "task", "teacher, 10 steps", "read-out, 1 step", "student, 1 step", "student against teacher, points"
    header = (*header, "distance to teacher: read-out", "student", "ms per chunk: teacher", "student")
    lines = [header, ("---",) + ("---:",) * (len(header) - 1)]
    for name, results in runs.items():
        rows = {row["key"]: row for row in results["rows"]}
        teacher, read_out, student = (rows[key] for key in SHOWN)
        lines.append(
            (
                f"[{name}](results/README.md#{name})",
                *(f"{sum(row['successes'])}/{len(row['successes'])}" for row in (teacher, read_out, student)),
                tables.points(student["difference_to_teacher"]),
                *(f"{row['distance_to_teacher']['energy']['estimate']:.3f}" for row in (read_out, student)),
                *(f"{row['latency']['median_ms']:.1f}" for row in (teacher, student)),
            )
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def page(folder: Path) -> str:
    """All tables."""
    parts = ["# Results\n\nWritten by `examples/update_readme.py` from the `results.json` of each folder.\n"]
    for name, results in all_results(folder).items():
        report = tables if "settings" in results else comparison_report
        parts.append(f"## {name}\n\n{report.markdown_table(results)}\n{report.summary(results)}")
    return "\n".join(parts)


def updated(readme: str, table: str) -> str:
    """The README with the part between the markers replaced.

    Raises:
        ValueError: If a marker is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md needs the markers {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    write_text(readme, updated(readme.read_text(), overview(ROOT / "results")))
    write_text(ROOT / "results" / "README.md", page(ROOT / "results"))
