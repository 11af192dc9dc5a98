"""Write the tables of committed results into the README, so that no number there is typed by hand.

    uv run python examples/update_readme.py

Reads `results/*/results.json` and replaces what stands between the two markers in `README.md`.
"""

from pathlib import Path

from lerobot_sdm.pipeline.files import read_json, write_text
from lerobot_sdm.pipeline.tables import markdown_table, summary

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: begin (examples/update_readme.py) -->", "<!-- results: end -->"


def section(folder: Path) -> str:
    """Tables of all results below a folder, one heading for each; a sentence where there are none yet."""
    # A comparison's results have a page of their own; a quickstart's have settings.
    quickstarts = [
        results for file in sorted(folder.glob("*/results.json")) if "settings" in (results := read_json(file))
    ]
    if not quickstarts:
        return "No results are committed yet.\n"
    parts = []
    for results in quickstarts:
        parts.append(f"### {results['task']}\n\n{markdown_table(results)}\n{summary(results)}")
    return "\n".join(parts)


def updated(readme: str, tables: str) -> str:
    """The README with the part between the markers replaced.

    Raises:
        ValueError: If a marker is missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md needs the markers {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    write_text(readme, updated(readme.read_text(), section(ROOT / "results")))
