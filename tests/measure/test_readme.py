"""The README's numbers come from committed results, and it begins with the two commands. The rest: `tests/docs`."""

import re
from pathlib import Path

import pytest
from example_scripts import load_script

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def script():
    return load_script("update_readme.py")


def test_tables_are_those_of_the_committed_results(script):
    for name in script.PAGES:
        assert script.written(name, ROOT / "results") == (ROOT / name).read_text(), name
    assert script.page(ROOT / "results") == (ROOT / "results" / "README.md").read_text()


def test_every_part_of_a_page_is_written(script):
    """A marker that the script does not know would keep a table that nothing updates."""
    marked = re.compile(r"<!-- (\S+): begin \(examples/update_readme\.py\) -->")
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT).as_posix()
        assert marked.findall(path.read_text()) == list(script.PAGES.get(name, ())), name


def test_the_docs_count_what_the_cells_hold(script):
    """Rates as in the benchmark's own table of tasks; the counts of starts as `examples/failures.py` printed them."""
    rows = script.failure_table(ROOT / "results").splitlines()
    assert "| pick-place | 78 | 76 to 83 | 81 | 100 | 21 | 15 |" in rows
    assert "| hand-insert | 74 | 70 to 73 | 71 | 99 | 28 | 24 |" in rows
    assert not any(line.startswith("| button-press |") for line in rows)


def test_results_name_no_folder_of_a_machine():
    absolute = re.compile(r"""(?<=["'= ])/(?:tmp|home|root|Users|mnt|work|data)/""")
    files = [path for path in (ROOT / "results").rglob("*") if path.suffix in (".json", ".md")]
    assert len(files) > 400
    assert [path.name for path in files if absolute.search(path.read_text())] == []


def test_only_the_marked_part_changes(script):
    changed = script.updated(README, "results", "| new |\n")
    assert changed.startswith(README[: README.index(script.BEGIN.format("results"))])
    assert changed.endswith(README[README.index(script.END.format("results")) :])
    assert "| new |" in changed
    with pytest.raises(ValueError, match="markers"):
        script.updated("no markers", "results", "")


def test_a_benchmarks_table_has_the_means_under_the_papers_protocol_of_the_same_tasks(script):
    results = script.all_results(ROOT / "results")["dp3-37"]
    strict, paper = (
        next(item for item in results["summaries"] if item["protocol"] == name) for name in ("strict", "paper")
    )
    header, _, first, second, *_ = script.benchmark_table(results, strict).splitlines()
    assert header == "| method | success in % | against its teacher, points | ms per chunk | papers' protocol |"
    assert first.endswith(f" | {100 * paper['rows'][0]['all']['estimate']:.1f} |")
    assert second.endswith(" |  |")  # Two steps were not measured so.
    fewer = results | {"summaries": [strict, paper | {"tasks": paper["tasks"][1:]}]}
    assert script.benchmark_table(fewer, strict).splitlines()[0].endswith("| ms per chunk |")


def test_set_up_commands():
    assert "pip install uv && uv run lerobot-sdm quickstart" in README
    assert "uv run pytest" in README
