"""Results, table, pictures and video from the files that the stages leave."""

import io
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from rich.console import Console

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import write_json
from lerobot_sdm.measure.methods import ROWS, SHOWN
from lerobot_sdm.measure.pictures import cloud_picture, success_plot
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart_report import HEADER, collect_results, report
from lerobot_sdm.measure.records import evaluated_successes, source_commit
from lerobot_sdm.measure.sizes import preset
from lerobot_sdm.measure.tables import markdown, points, without
from lerobot_sdm.measure.video import choose_episodes, comparison_video, side_by_side

ROOT = Path(__file__).parents[2]
CONFIG = replace(preset("small", "reach-wall"), eval_episodes=4)
SUCCESSES = {
    "teacher_10": [True, True, True, False],
    "teacher_2": [True, True, False, False],
    "teacher_1": [False, False, False, False],
    "generator": [False, False, False, True],
    "regression": [True, True, False, False],
    "student": [True, True, True, True],
}
ENERGY = {
    "teacher_10": [0.0, 0.1],
    "teacher_2": [0.2, 0.2],
    "teacher_1": [1.0, 3.0],
    "generator": [0.8, 0.9],
    "regression": [0.1, 0.1],
    "student": [0.5, 0.5],
}


@pytest.fixture
def layout(tmp_path) -> RunLayout:
    """A run's folder as its stages leave it; the numbers are made up, the formats are the real ones."""
    layout = RunLayout(tmp_path)
    write_json(layout.expert, {"seeds": [1, 2, 3, 4], "successes": [True] * 4})
    for key, outcomes in SUCCESSES.items():
        folder = layout.evaluation(key)
        write_json(folder / "eval_info.json", {"per_task": [{"metrics": {"successes": outcomes}}]})
    interval = {"estimate": 0.5, "low": 0.4, "high": 0.6}
    rows = [
        {
            "label": "the floor" if key == "teacher_10" else key,
            "energy": interval,
            "spread": interval,
            "map_rms": interval,
            "demonstrations": interval,
            "per_observation": {"energy": values, "demonstrations": [1 + value for value in values]},
        }
        for key, values in ENERGY.items()
    ]
    distances = {"observations": 2, "samples": 8, "seed": 0, "unit": "units", "floor": "the floor", "rows": rows}
    write_json(layout.distances, distances)
    latency = [
        {"label": row.key, "median_ms": 2.0, "p95_ms": 3.0, "network_evaluations": 1.0, "threads": 1} for row in ROWS
    ]
    write_json(layout.latency, latency)
    for number, stage in enumerate(("train_teacher", "train_student", "train_regression")):
        record = {
            "stage": stage,
            "command": "lerobot-train",
            "seconds": 90.0,
            "continued": False,
            "finished": f"2026-01-0{number + 1}T00:00:00+00:00",
        }
        write_json(tmp_path / "stages" / f"{stage}.json", record)
    return layout


def test_results(layout):
    results = collect_results(CONFIG, layout)
    rows = {row["key"]: row for row in results["rows"]}
    assert list(rows) == ["expert", "teacher_10", "teacher_2", "teacher_1", "generator", "regression", "student"]
    assert rows["student"]["successes"] == SUCCESSES["student"]
    assert rows["student"]["difference_to_teacher"]["estimate"] == 0.25
    assert rows["teacher_10"]["difference_to_teacher"]["estimate"] == 0.0
    assert rows["teacher_10"]["distance_to_teacher"]["energy"]["estimate"] == 0.5
    assert rows["expert"]["latency"] is None
    assert results["student_minus_teacher"]["estimate"] == pytest.approx(0.45)  # mean of 1.5 - 1.0 and 1.5 - 1.1
    assert results["evaluation_seeds"] == [100_000, 100_003]
    assert [record["stage"] for record in results["stages"]] == ["train_teacher", "train_student", "train_regression"]
    assert results["versions"]["lerobot"].startswith("0.6")


def test_missing_episodes_are_noticed(layout):
    write_json(layout.expert, {"successes": [True] * 3})
    with pytest.raises(InputError, match="'expert': 3"):
        collect_results(CONFIG, layout)


def test_points():
    """Half a percent down is no minus zero."""
    assert points({"estimate": -0.004, "low": -0.126, "high": 0.004}) == "+0 (-13 to +0)"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the package does not run from a checkout")
def test_commit():
    head = subprocess.run(("git", "-C", ROOT, "rev-parse", "HEAD"), capture_output=True, text=True, check=True).stdout
    assert source_commit() in (head.strip(), f"{head.strip()}-dirty")


def test_table(layout):
    results = collect_results(CONFIG, layout)
    lines = markdown(report(results).rows).splitlines()
    assert len(lines) == 2 + 7
    assert {line.count("|") for line in lines} == {len(HEADER) + 1}
    student = lines[-1]
    assert "student (SDM), 1 step" in student
    assert "4/4" in student
    assert "+25 (" in student
    assert "regression" in lines[-2]
    assert "untrained student" in lines[-3]
    text = report(results).notes
    assert "seeds 100000 to 100003" in text
    assert "1 min 30 s" in text
    console = Console(width=120, file=io.StringIO())
    console.print(report(results).terminal())
    assert "student (SDM), 1 step" in console.file.getvalue()


def test_further_rules_of_success_have_columns(layout):
    config = replace(CONFIG, env_type="adroit", other_rules={"ever": {"success_rule": "dp3_ever"}})
    expert = {"successes": [True] * 4, "other_rules": {"ever": [True, True, True, False]}}
    write_json(layout.expert, expert)
    for key in SUCCESSES:
        outcomes = [key == "student"] * 4
        write_json(
            layout.evaluation(key, "ever") / "eval_info.json", {"per_task": [{"metrics": {"successes": outcomes}}]}
        )
    results = collect_results(config, layout)
    assert results["task"] == "adroit-reach-wall"
    student = results["rows"][-1]["other_rules"]["ever"]
    assert student["successes"] == [True] * 4
    assert student["difference_to_teacher"]["estimate"] == 1.0
    names, _, expert_row, *_, student_row = markdown(report(results).rows).splitlines()
    assert "| success, ever |" in names
    assert "| 3/4 (30 to 95%) |" in expert_row  # Wilson: (3 + 1.92 +- 1.96 sqrt(0.75 + 0.96)) / (4 + 3.84)
    assert "| 4/4 (51 to 100%) |" in student_row
    assert len({line.count("|") for line in markdown(report(results).rows).splitlines()}) == 1
    console = Console(width=160, file=io.StringIO())
    console.print(report(results).terminal())
    assert "success, ever" in console.file.getvalue()


def test_pictures(layout, tmp_path):
    results = collect_results(CONFIG, layout)
    success_plot(results, tmp_path / "success.png")
    random = np.random.default_rng(0)
    for channels in (3, 6):
        cloud = random.uniform(0, 1, (50, channels)).astype(np.float32)
        cloud_picture(cloud, [random.normal(size=(9, 3))], "title", tmp_path / f"cloud{channels}.png")
    for name in ("success", "cloud3", "cloud6"):
        picture = iio.imread(tmp_path / f"{name}.png")
        assert picture.shape[0] > 300
        assert picture[..., :3].std() > 5  # not an empty page


def test_video(layout, tmp_path):
    """Three clips side by side; the longest (the student's 10 frames) sets the length, ends are held 30 frames."""
    for number, key in enumerate(SUCCESSES):
        if key not in SHOWN:
            continue
        videos = layout.evaluation(key) / "videos" / "reach-wall_0"
        videos.mkdir(parents=True)
        frames = np.full((5 + number, 64, 64, 3), 40 * number, np.uint8)
        iio.imwrite(videos / "eval_episode_0.mp4", frames, plugin="pyav", codec="libx264", fps=80)
        for episode in range(1, 6):  # A batch of six was run to get the four that count.
            shutil.copyfile(videos / "eval_episode_0.mp4", videos / f"eval_episode_{episode}.mp4")
    results = collect_results(CONFIG, layout)
    seeds = comparison_video(results, layout, tmp_path / "comparison.mp4")
    assert seeds == [100_000, 100_001, 100_002]
    video = iio.imread(tmp_path / "comparison.mp4", plugin="pyav")
    assert video.shape == (3 * (10 + 30), 64 + 24, 3 * 64, 3)
    below_caption = video[0, 30:70]
    brightness = [below_caption[:, column : column + 60].mean() for column in (2, 66, 130)]
    assert brightness == pytest.approx([0, 80, 200], abs=12)  # rows 0, 2 and 5 of the fixture


def test_video_prefers_episodes_that_differ():
    outcomes = {
        "teacher_10": [True, True, True, True, True],
        "teacher_1": [True, False, True, False, True],
        "student": [True, True, True, True, True],
    }
    assert choose_episodes(outcomes, [0, 1, 2, 3, 4]) == [0, 1, 3]
    assert choose_episodes(outcomes, [0, 2]) == [0, 2]


def test_shorter_clips_wait():
    clips = {"a": np.zeros((1, 8, 8, 3), np.uint8), "b": np.full((4, 8, 8, 3), 9, np.uint8)}
    frames = side_by_side(clips, {"a": "", "b": ""}, "")
    assert len(frames) == 4 + 30
    assert frames[0].shape == (8 + 24, 16, 3)


def test_successes_of_one_task_only(tmp_path):
    write_json(tmp_path / "eval_info.json", {"per_task": [{}, {}]})
    with pytest.raises(ValueError, match="too many values"):
        evaluated_successes(tmp_path)


def test_columns_are_left_out_by_name():
    rows = [("policy", "ms", "success", "ms"), ("dp3", "1", "50%", "2")]
    assert without(rows, "ms", "unknown") == [("policy", "success"), ("dp3", "50%")]
