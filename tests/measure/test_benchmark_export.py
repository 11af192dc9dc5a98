"""Results of a benchmark that may still run: the cells of whole tasks, and nothing else."""

import pytest
from benchmark_cells import SETTINGS, made_cell, made_expert, measured, write_cells
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.benchmark import make_benchmark
from lerobot_sdm.measure.benchmark_export import remember_plan, whole_tasks


def call(*arguments: str):
    return CliRunner().invoke(app, ["benchmark", *arguments])


@pytest.fixture
def root(tmp_path):
    """Two methods on two tasks, the student by both protocols; one task lacks the student's second protocol."""
    root = tmp_path / "out"
    methods = ("dp3-10", "sdm")
    remember_plan(
        make_benchmark(
            root, "dp3-37", "small", ("reach", "soccer"), methods, ("strict", "paper"), paper_methods=("sdm",)
        )
    )
    cells = [
        made_cell(task, level, method, "xx..")
        for task, level in (("reach", "easy"), ("soccer", "medium"))
        for method in methods
    ]
    cells[1]["protocols"]["paper"] = measured("x... xxxx xx..")
    return write_cells(root, cells, [made_expert("reach", "easy", "xxxx"), made_expert("soccer", "medium", "xxxx")])


def test_cells_of_whole_tasks_and_their_page(root, tmp_path):
    output = tmp_path / "results"
    result = call(f"--render={root}", f"--output={output}")
    assert result.exit_code == 0, result.output
    assert "1 complete tasks: reach" in result.output
    assert sorted(path.name for path in output.iterdir()) == [
        "cells",
        "experts",
        "learning_curves.png",
        "results.json",
        "results.md",
        "settings.json",
        "success_against_latency.png",
        "success_by_difficulty.png",
    ]
    names = [f"reach.{method}.seed1.json" for method in ("dp3-10", "sdm")]
    assert sorted(path.name for path in (output / "cells").iterdir()) == names
    for name in names:
        assert read_json(output / "cells" / name) == read_json(root / "cells" / name)
    assert read_json(output / "settings.json") == SETTINGS
    assert [path.name for path in (output / "experts").iterdir()] == ["reach.json"]
    assert not (root / "results.md").exists()

    # Later, when the second task is whole, the same command adds it.
    path = root / "cells" / "soccer.sdm.seed1.json"
    cell = read_json(path)
    cell["protocols"]["paper"] = measured("x... xxxx xx..")
    write_json(path, cell)
    assert "2 complete tasks: reach, soccer" in call(f"--render={root}", f"--output={output}").output
    assert [summary["tasks"] for summary in read_json(output / "results.json")["summaries"]] == [
        ["reach", "soccer"]
    ] * 2


def test_what_was_ever_asked_for_counts(root):
    """A later call with other seeds and fewer protocols adds to the plan."""
    before = read_json(root / "plan.json")
    assert before["soccer.sdm.seed1"] == ["strict", "paper"]
    remember_plan(make_benchmark(root, "dp3-37", "small", ("reach",), ("sdm",), training_seeds=(1, 2)))
    assert read_json(root / "plan.json") == before | {"reach.sdm.seed2": ["strict"]}


def test_whole_tasks():
    strict, both = {"protocols": {"strict": {}}}, {"protocols": {"strict": {}, "paper": {}}}
    plan = {"a.x.seed1": ["strict"], "a.y.seed1": ["strict", "paper"], "b.x.seed1": ["strict"]}
    assert whole_tasks(plan, {"a.x.seed1": strict, "a.y.seed1": strict}) == []
    assert whole_tasks(plan, {"a.x.seed1": strict, "a.y.seed1": both}) == ["a"]
    assert whole_tasks(plan, {"a.x.seed1": both, "a.y.seed1": both, "b.x.seed1": strict}) == ["a", "b"]


def test_what_is_refused(root, tmp_path):
    """Nothing is written where there is nothing to show, or where something else lies."""
    occupied = tmp_path / "occupied"
    write_json(occupied / "settings.json", SETTINGS | {"view": "dp3"})
    result = call(f"--render={root}", f"--output={occupied}")
    assert result.exit_code == 2
    assert "view='dp3', and now it is 'workspace'" in result.output
    assert [path.name for path in occupied.iterdir()] == ["settings.json"]

    assert "is the benchmark's own folder" in call(f"--render={root}", f"--output={root}").output
    (root / "cells" / "reach.dp3-10.seed1.json").unlink()
    result = call(f"--render={root}", f"--output={tmp_path / 'new'}")
    assert "no task is complete yet" in result.output
    result = call(f"--render={tmp_path / 'absent'}", f"--output={tmp_path / 'new'}")
    assert "not a folder of" in result.output
    assert not (tmp_path / "new").exists()
