"""The page of a benchmark, from cells made by hand."""

import shutil

import pytest
from benchmark_cells import made_cell, write_cells
from PIL import Image

from lerobot_sdm.benchmark.report import distance_table, page, summary_table, task_table
from lerobot_sdm.benchmark.results import gather
from lerobot_sdm.benchmark.run import render
from lerobot_sdm.errors import InputError
from lerobot_sdm.pipeline.files import read_json

CELLS = [
    made_cell("reach", "easy", "dp3-10", "xxxx", ms=20.0, energy=0.0),
    made_cell("reach", "easy", "sdm", "xxx."),
    made_cell("push", "hard", "dp3-10", "xx..", ms=30.0, energy=0.0),
    made_cell("push", "hard", "sdm", "xx..", ms=3.0, energy=0.3),
]
UNFINISHED = made_cell("pick-place", "hard", "dp3-10", "....", ms=30.0)


@pytest.fixture
def root(tmp_path):
    return write_cells(tmp_path / "out", [*CELLS, UNFINISHED])


def test_summary(root):
    """Rates are means over the tasks that have all methods, with Wilson's limits for 6 and 5 of 8; the rest medians."""
    header, _, teacher, student = summary_table(gather(root)).splitlines()
    assert header.startswith(
        "| method | MetaWorld easy (1) | MetaWorld hard (1) | all (2) | against its teacher, points"
    )
    assert teacher == "| dp3, 10 steps | 100.0 | 50.0 | 75.0 (40.9 to 92.9) |  | 0.000 | 25.0 | 20.0 | 10 |"
    assert student.startswith("| sdm, 1 step | 75.0 | 50.0 | 62.5 (30.6 to 86.3) | -12 (")
    assert student.endswith(" | 0.400 | 2.5 | 20.0 | 1 |")


def test_one_distant_task_does_not_speak_for_all(tmp_path):
    tasks = {"reach": ("easy", 0.1), "push": ("hard", 0.2), "pick-place": ("hard", 9.0)}
    cells = [made_cell(task, level, "sdm", "x...", energy=energy) for task, (level, energy) in tasks.items()]
    results = gather(write_cells(tmp_path / "out", cells))
    assert " | 0.200 | " in summary_table(results)
    assert [row.split(" | ")[2] for row in distance_table(results).splitlines()[2:]] == [
        "0.100 |",
        "9.000 |",
        "0.200 |",
    ]


def test_tasks(root):
    rows = task_table(gather(root)).splitlines()
    assert rows[0] == "| task | level | dp3, 10 steps | sdm, 1 step |"
    assert rows[2:] == [
        "| reach | MetaWorld easy | 100.0 (51.0 to 100.0) | 75.0 (30.1 to 95.4) |",
        "| pick-place | MetaWorld hard | 0.0 (0.0 to 49.0) |  |",
        "| push | MetaWorld hard | 50.0 (15.0 to 85.0) | 50.0 (15.0 to 85.0) |",
    ]


def test_the_highest_of_several_have_no_intervals(tmp_path):
    """And no differences, which would be of other rates than those shown."""
    cells = [
        made_cell("reach", "easy", method, outcomes, seed)
        for seed in (0, 1)
        for method, outcomes in (("dp3-10", "x... xxxx xx.."), ("sdm", "xx.. xx.. xxx." if seed else "x... xxxx xxxx"))
    ]
    results = gather(write_cells(tmp_path / "out", cells, protocol="paper"))
    _, _, teacher, student = summary_table(results).splitlines()
    assert teacher.startswith("| dp3, 10 steps | 75.0 | 75.0 ± 0.0 |  |")
    # 1 with seed 0, 5/8 with seed 1.
    assert student.startswith("| sdm, 1 step | 81.2 | 81.2 ± 26.5 |  |")
    assert "too high" in page(results)


def test_rendering_writes_page_pictures_and_raw_results(root):
    results = render(root)
    text = (root / "results.md").read_text()
    assert summary_table(results) in text
    assert "without: adroit-hammer, " in text
    assert read_json(root / "results.json")["compared"] == ["reach", "push"]
    for name in ("success_by_difficulty", "success_against_latency", "learning_curves"):
        with Image.open(root / f"{name}.png") as picture:
            assert min(picture.size) > 300
    before = text
    render(root)
    assert (root / "results.md").read_text() == before


def test_published_numbers_stand_below_how_they_differ(root):
    text = page(gather(root))
    published = text.partition("## Published numbers")[2]
    assert published.index("the five best of fifteen") < published.index("74.8")
    assert "Not comparable" in published.partition("74.8")[0]


def test_a_student_is_held_against_its_own_teacher_alone(tmp_path):
    """Cells of one task that rest on two trainings of the teacher are not compared."""
    teacher = made_cell("reach", "easy", "dp3-10", "xxxx")
    student = made_cell("reach", "easy", "sdm", "xxx.")
    student["hashes"]["dp3"] = "of another machine's training"
    root = write_cells(tmp_path / "out", [teacher, student])
    with pytest.raises(
        InputError, match=r"reach\.dp3-10\.seed1 and reach\.sdm\.seed1 .*'dp3'.*Delete the cells of reach"
    ):
        render(root)
    assert not (root / "results.md").exists()


def test_nothing_to_render(root, tmp_path):
    shutil.rmtree(root / "cells")
    for folder in (root, tmp_path / "absent"):
        with pytest.raises(InputError, match="no finished cell"):
            render(folder)
    assert not (tmp_path / "absent").exists()
