"""The page of a benchmark, from cells made by hand."""

import shutil

import pytest
from benchmark_cells import made_cell, made_expert, measured, write_cells
from PIL import Image

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json
from lerobot_sdm.measure.benchmark_page import demonstrations_table, distance_table, page, summary_table, task_table
from lerobot_sdm.measure.run_benchmark import render
from lerobot_sdm.measure.scores import measured_by
from lerobot_sdm.measure.summaries import gather, summarize

CELLS = [
    made_cell("reach", "easy", "dp3-10", "xxxx", ms=20.0, energy=-0.0001),
    made_cell("reach", "easy", "sdm", "xxx."),
    made_cell("push", "hard", "dp3-10", "xx..", ms=30.0, energy=-0.0001),
    made_cell("push", "hard", "sdm", "xx..", ms=3.0, energy=0.3, demonstrations=1.4),
]
UNFINISHED = made_cell("pick-place", "hard", "dp3-10", "....", ms=30.0)


@pytest.fixture
def root(tmp_path):
    return write_cells(tmp_path / "out", [*CELLS, UNFINISHED])


def first_table(results: dict) -> list[str]:
    return summary_table(results, results["summaries"][0]).splitlines()


def test_summary(root):
    """Rates are means over the tasks that have all methods, with Wilson's limits for 6 and 5 of 8; the rest medians."""
    header, _, teacher, student = first_table(gather(root))
    assert header == (
        "| method (view workspace) | training seeds | MetaWorld easy (1) | MetaWorld hard (1) | all (2) "
        "| against its teacher, points | distance to teacher | distance to demonstrations | ms per chunk "
        "| its teacher's | network evaluations |"
    )
    assert teacher == "| dp3, 10 steps | 1 | 100.0 | 50.0 | 75.0 (40.9 to 92.9) |  | 0.000 | 1.000 | 25.0 | 20.0 | 10 |"
    assert student.startswith("| sdm, 1 step | 1 | 75.0 | 50.0 | 62.5 (30.6 to 86.3) | -12 (")
    assert student.endswith(" | 0.400 | 1.200 | 2.5 | 20.0 | 1 |")


def test_what_has_no_teacher_has_no_distance_to_one(tmp_path):
    """Its cells hold the distance to itself, which would look like that of a perfect student."""
    cells = [made_cell("reach", "easy", name, "xx..", energy=0.25) for name in ("dp3-10", "sdm", "meanflow")]
    results = gather(write_cells(tmp_path / "out", cells))
    teacher, student, alone = first_table(results)[2:5]
    assert " | 0.250 | 1.000 | 2.0 | 20.0 | 1 |" in student
    assert " |  | 1.000 | 2.0 |  | 1 |" in alone
    assert " | 0.250 | 1.000 | 2.0 | 20.0 | 10 |" in teacher
    assert distance_table(results).splitlines()[0].endswith("| dp3, 10 steps | sdm, 1 step |")
    assert "flow, meanflow and drift have none" in page(results)


def test_spread_is_the_middle_one_of_the_tasks(tmp_path):
    """Cells of earlier versions may have none; then there is no such column."""
    cells = [made_cell(task, "easy", "flow", "xx..") for task in ("reach", "push", "pick-place")]
    for cell, spread in zip(cells, (0.1, 0.2, 0.9), strict=True):
        cell["distance_to_teacher"]["spread"] = {"estimate": spread, "low": 0.0, "high": 1.0}
    header, _, row = first_table(gather(write_cells(tmp_path / "out", cells)))
    assert header.split(" | ").index("spread") == row.split(" | ").index("0.200")


def test_one_distant_task_does_not_speak_for_all(tmp_path):
    tasks = {"reach": ("easy", 0.1), "push": ("hard", 0.2), "pick-place": ("hard", 9.0)}
    cells = [made_cell(task, level, "sdm", "x...", energy=energy) for task, (level, energy) in tasks.items()]
    results = gather(write_cells(tmp_path / "out", cells))
    assert " | 0.200 | " in first_table(results)[2]
    assert [row.split(" | ")[3] for row in distance_table(results).splitlines()[2:]] == [
        "0.100 |",
        "9.000 |",
        "0.200 |",
    ]


def test_demonstrations_by_other_experts_are_named(tmp_path):
    """Cells of earlier versions do not say who demonstrated."""
    cells = [made_cell(task, "easy", "sdm", "x...") for task in ("adroit-pen", "adroit-door", "reach", "push")]
    for cell, expert in zip(cells, ("dapg", "dapg", "scripted"), strict=False):
        cell["expert"] = expert
    text = page(gather(write_cells(tmp_path / "out", cells)))
    assert "- Demonstrations: adroit-door, adroit-pen by the expert `dapg`.\n" in text
    for cell in cells:
        cell["expert"] = "scripted"
    assert "- Demonstrations:" not in page(gather(write_cells(tmp_path / "other", cells)))


def test_tasks(root):
    results = gather(root)
    rows = task_table(measured_by(results["cells"], "strict"), {}).splitlines()
    assert rows[0] == "| task (view workspace) | level | training seeds | dp3, 10 steps | sdm, 1 step |"
    assert rows[2:] == [
        "| reach | MetaWorld easy | 1 | 100.0 (51.0 to 100.0) | 75.0 (30.1 to 95.4) |",
        "| pick-place | MetaWorld hard | 1 | 0.0 (0.0 to 49.0) |  |",
        "| push | MetaWorld hard | 1 | 50.0 (15.0 to 85.0) | 50.0 (15.0 to 85.0) |",
    ]
    assert demonstrations_table(results).splitlines()[4] == "| push | MetaWorld hard | 1 | 1.000 | 1.400 |"


def test_experts_stand_beside_their_imitators(tmp_path):
    """In the summary as the mean over its tasks once all of them are measured, with Wilson's limits for 5 of 8."""
    easy, hard = made_expert("reach", "easy", "xxxx"), made_expert("push", "hard", "x...")
    results = gather(write_cells(tmp_path / "all", [*CELLS, UNFINISHED], [easy, hard]))
    header, *_, student, expert = first_table(results)
    assert student.startswith("| sdm, 1 step |")
    assert expert == f"| the expert |  | 100.0 | 25.0 | 62.5 (30.6 to 86.3) |{'  |' * 6}"
    assert header.count("|") == expert.count("|")
    text = page(results)
    assert "| pick-place | MetaWorld hard | 1 | 0.0 (0.0 to 49.0) |  |  |" in text
    assert "| push | MetaWorld hard | 1 | 50.0 (15.0 to 85.0) | 50.0 (15.0 to 85.0) | 25.0 (4.6 to 69.9) |" in text
    assert "reads the simulator's state" in text
    assert render(tmp_path / "all")["summaries"][0]["expert"]["all"]["estimate"] == 0.625

    some = page(gather(write_cells(tmp_path / "some", CELLS, [easy])))
    assert (
        "| reach | MetaWorld easy | 1 | 100.0 (51.0 to 100.0) | 75.0 (30.1 to 95.4) | 100.0 (51.0 to 100.0) |" in some
    )
    assert "\n| the expert" not in some
    assert "reads the simulator's state" not in some


def test_a_student_is_held_against_the_best_of_what_is_free(tmp_path):
    """On the same episodes; of equally good ones, against the one nearest to the teacher."""
    free = {"dp3-2": ("xx..", 0.1), "dp3-1": ("x.x.", 0.05), "generator": ("x...", 0.01)}
    cells = [
        made_cell("reach", "easy", "dp3-10", "xxxx", energy=0.0),
        *(made_cell("reach", "easy", name, found, energy=energy) for name, (found, energy) in free.items()),
        made_cell("reach", "easy", "regression", "xxx."),
        made_cell("reach", "easy", "sdm", "...."),
    ]
    (summary,) = summarize(cells, {})
    rows = {row["method"]: row for row in summary["rows"]}
    assert [name for name, row in rows.items() if row["free_baseline"]] == ["regression", "sdm"]
    for name, estimate in (("regression", 0.25), ("sdm", -0.5)):
        assert rows[name]["free_baseline"]["method"] == "dp3-1"
        assert rows[name]["free_baseline"]["difference"]["estimate"] == estimate
    table = summary_table(gather(write_cells(tmp_path / "out", cells)), summary).splitlines()
    # Newcombe's interval of 3 against 2 of 4, one pair for the one and none for the other.
    assert table[6].split(" | ")[5].startswith("+25 (")
    assert table[6].split(" | ")[5].endswith("), dp3-1")


def test_the_highest_of_several_have_no_intervals(tmp_path):
    """And no differences, which would be of other rates than those shown."""
    cells = [
        made_cell("reach", "easy", method, outcomes, seed, protocol="paper")
        for seed in (0, 1)
        for method, outcomes in (("dp3-10", "x... xxxx xx.."), ("sdm", "xx.. xx.. xxx." if seed else "x... xxxx xxxx"))
    ]
    results = gather(write_cells(tmp_path / "out", cells))
    header, _, teacher, student = first_table(results)
    assert "points" not in header
    assert teacher.startswith("| dp3, 10 steps | 0, 1 | 75.0 | 75.0 ± 0.0 | 0.500 |")
    # 1 with seed 0, 5/8 with seed 1.
    assert student.startswith("| sdm, 1 step | 0, 1 | 81.2 | 81.2 ± 26.5 | 0.500 |")
    assert "biased upward" in page(results)


def test_both_protocols_of_one_training(tmp_path):
    """Each has its table, over the methods that it measured; a cell has both."""
    cells = [made_cell("reach", "easy", method, "xx..") for method in ("dp3-10", "generator", "sdm")]
    for cell in (cells[0], cells[2]):
        cell["protocols"]["paper"] = measured("x... xxxx xx..")
    results = gather(write_cells(tmp_path / "out", cells))
    strict, paper = results["summaries"]
    assert [row["method"] for row in strict["rows"]] == ["dp3-10", "generator", "sdm"]
    assert [row["method"] for row in paper["rows"]] == ["dp3-10", "sdm"]
    assert [row["all"]["estimate"] for row in (strict["rows"][2], paper["rows"][1])] == [0.5, 0.75]
    text = page(results)
    assert text.index("## Protocol strict, training seed 1") < text.index("## Protocol paper, training seed 1")
    header = "| task (view workspace) | level | training seeds | dp3, 10 steps | sdm, 1 step |"
    assert f"Success in %, protocol paper:\n\n{header}" in text


def test_more_seeds_on_some_tasks(tmp_path):
    """One table over all tasks with the seed that all have, one over those with more; no number mixes the two."""
    cells = [
        made_cell(task, level, method, outcomes if seed == 1 else "....", seed)
        for task, level, seeds in (("reach", "easy", (0, 1, 2)), ("push", "hard", (1,)))
        for seed in seeds
        for method, outcomes in (("dp3-10", "xxxx"), ("sdm", "xx.."))
    ]
    results = gather(write_cells(tmp_path / "out", cells))
    one, three = results["summaries"]
    assert (one["seeds"], one["tasks"]) == ([1], ["reach", "push"])
    assert (three["seeds"], three["tasks"]) == ([0, 1, 2], ["reach"])
    assert [row["all"]["estimate"] for row in one["rows"]] == [1.0, 0.5]
    assert [row["all"]["estimate"] for row in three["rows"]] == pytest.approx([1 / 3, 1 / 6])
    assert "seed_sd" not in one["rows"][0]["all"]
    assert summary_table(results, three).splitlines()[2].startswith("| dp3, 10 steps | 0, 1, 2 | 33.3 | 33.3 ± 57.7 (")
    assert "## Protocol strict, training seeds 0, 1, 2\n" in page(results)


def test_more_seeds_of_some_methods(tmp_path):
    """While a benchmark runs its second seed: all methods with the first one, and those that have both."""
    cells = [made_cell("reach", "easy", method, "xxxx") for method in ("dp3-10", "sdm", "drift")]
    cells += [made_cell("reach", "easy", method, "....", seed=2) for method in ("dp3-10", "sdm")]
    one, two = gather(write_cells(tmp_path / "out", cells))["summaries"]
    assert (one["seeds"], [row["method"] for row in one["rows"]]) == ([1], ["dp3-10", "sdm", "drift"])
    assert (two["seeds"], [row["method"] for row in two["rows"]]) == ([1, 2], ["dp3-10", "sdm"])
    assert [row["all"]["estimate"] for row in (*one["rows"], *two["rows"])] == [1.0, 1.0, 1.0, 0.5, 0.5]


def test_a_task_with_another_seed_does_not_hide_the_others():
    """No seed is common to all; the one that most tasks have is shown for them."""
    cells = [made_cell(task, "easy", "sdm", "xxxx", seed) for task, seed in (("reach", 1), ("push", 1), ("soccer", 2))]
    assert [(item["seeds"], item["tasks"]) for item in summarize(cells, {})] == [([1], ["reach", "push"])]


def test_cells_and_page_name_every_commit_and_version(tmp_path):
    """A run that is resumed after an update has stages of several."""
    cells = [made_cell("reach", "easy", method, "xxxx") for method in ("dp3-10", "sdm")]
    cells[1] |= {"commit": "0123abcd, 4567cdef", "versions": {"python": "3.13"}}
    text = page(gather(write_cells(tmp_path / "out", cells)))
    assert "Versions: python 3.12, or python 3.13; commit 0123abcd, 4567cdef." in text


def test_an_expert_that_did_not_demonstrate_is_not_shown(tmp_path):
    cells = [made_cell("reach", "easy", "sdm", "xxxx") | {"expert": "dapg"}]
    experts = [made_expert("reach", "easy", "x...")]
    assert gather(write_cells(tmp_path / "out", cells, experts))["experts"] == {}


def test_a_row_with_fewer_seeds_says_so(tmp_path):
    cells = [made_cell("reach", "easy", "dp3-10", "xxxx", seed) for seed in (0, 1)]
    rows = task_table(measured_by([*cells, made_cell("reach", "easy", "manicm", "xxxx", 1)], "strict"), {}).splitlines()
    assert rows[2] == ("| reach | MetaWorld easy | 0, 1 | 100.0 ± 0.0 (67.6 to 100.0) | 100.0 (51.0 to 100.0) [1] |")


def test_rendering_writes_page_pictures_and_raw_results(root):
    results = render(root)
    text = (root / "results.md").read_text()
    assert summary_table(results, results["summaries"][0]) in text
    assert text.startswith("# dp3-37, size small, view workspace\n")
    assert "without: adroit-hammer, " in text
    assert "view `workspace`, 160 points, frame hand, hidden goals drawn, points on the robot's arm left out." in text
    assert "commit 0123abcd." in text
    assert "Trainings: dp3 20 steps of 8; sdm 20 steps of 8." in text
    assert [summary["tasks"] for summary in read_json(root / "results.json")["summaries"]] == [["reach", "push"]]
    for name in ("success_by_difficulty", "success_against_latency", "learning_curves"):
        with Image.open(root / f"{name}.png") as picture:
            assert min(picture.size) > 300
    assert "stages" in read_json(root / "cells" / "reach.sdm.seed1.json")
    assert not any("stages" in cell for cell in read_json(root / "results.json")["cells"])
    before = text
    render(root)
    assert (root / "results.md").read_text() == before


def test_published_numbers_stand_below_how_they_differ(root):
    text = page(gather(root))
    published = text.partition("## Published numbers")[2]
    assert published.index("the five best of fifteen") < published.index("74.8")
    assert "goals in the air" in published
    # Rows whose papers print another mean than their groups have, weighted by 3, 21, 4, 4 and 5 tasks.
    assert "| 86.4 (it prints 88.2) |" in published
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
