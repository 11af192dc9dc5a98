"""The quickstart, whole but tiny, with every command a real process; and what its command line refuses."""

import io
import os
import shutil
from dataclasses import replace

import filelock
import imageio.v3 as iio
import pytest
from example_scripts import load_script
from rich.console import Console
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.demo.pair import SHIPPED, read_pair
from lerobot_sdm.errors import InputError
from lerobot_sdm.files import read_json, write_json
from lerobot_sdm.measure.measurements import check_held_out
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart import all_stages, run_pipeline
from lerobot_sdm.measure.runner import run_warm, shared_variables
from lerobot_sdm.measure.settings import RunSettings, Training
from lerobot_sdm.measure.sizes import preset, with_steps
from lerobot_sdm.measure.stages import claim_folder

pytest_plugins = ("warm_start",)

OPTIONS = {"num_workers": 0}
TINY = RunSettings(
    task="reach-wall",
    env={"num_points": 32, "camera_size": 24, "episode_length": 12, "render_size": 64},
    episodes=2,
    held_out_episodes=1,
    record={"keep": "all"},
    teacher=Training(
        8, 8, 4, {"down_dims": [8, 16], "blocks_per_level": 1, "horizon": 4, "n_action_steps": 3}, OPTIONS
    ),
    student=Training(6, 8, 6, {"warmup_steps": 3}, OPTIONS),
    eval_episodes=3,
    eval_batch_size=2,
    observations=3,
    samples=4,
    latency_repeats=2,
)


@pytest.mark.slow
def test_whole_road(tmp_path, warm):
    """Every stage runs; a training that was interrupted half-way goes on; the report is complete."""
    layout, console = RunLayout(tmp_path / "run"), Console(file=io.StringIO(), width=200)
    claim_folder(layout.root, TINY.settings())
    stages = [stage for stage in all_stages(TINY, layout) if stage.name in ("record", "train_teacher")]
    run_warm(stages, layout.root, console, os.environ | shared_variables(TINY.threads))
    # As if it had been killed between the checkpoints of steps 4 and 8.
    checkpoints = layout.training("teacher") / "checkpoints"
    shutil.rmtree(checkpoints / "000008")
    (checkpoints / "last").unlink()
    (checkpoints / "last").symlink_to("000004")
    (layout.root / "stages" / "train_teacher.json").unlink()

    results = run_pipeline(TINY, layout, console)

    told = console.file.getvalue()
    assert "Record demonstrations: finished before" in told
    assert "continues where it was interrupted" in told
    assert (checkpoints / "000008").is_dir()
    assert [row["key"] for row in results["rows"]] == [
        "expert",
        "teacher_10",
        "teacher_2",
        "teacher_1",
        "generator",
        "regression",
        "student",
    ]
    assert all(len(row["successes"]) == 3 for row in results["rows"])
    evaluations = [row["latency"]["network_evaluations"] for row in results["rows"][1:]]
    assert evaluations == [10, 2, 1, 1, 1, 1]
    assert results["rows"][1]["distance_to_teacher"]["map_rms"]["estimate"] == 0
    assert results["rows"][4]["distance_to_teacher"]["map_rms"]["estimate"] > 0
    commands = {record["stage"]: record["command"] for record in results["stages"]}
    assert commands["train_student"].startswith("lerobot-train")
    assert commands["evaluate_student"].startswith("lerobot-eval")
    assert len(commands) == 15  # all but the report, which was still being written
    assert "untrained student" in (layout.root / "table.md").read_text()
    for name in ("success.png", "cloud.png"):
        assert iio.imread(layout.root / name).size > 100_000
    assert iio.imread(layout.root / "comparison.mp4", plugin="pyav").shape[2] == 3 * 64

    # What `lerobot-sdm demo` shows is made of such a folder.
    pair = load_script("maintenance/make_demo.py").build_pair(layout.root, tmp_path / "pair")
    assert read_pair(pair).measured["student"][1] == TINY.eval_episodes

    # Everything is finished: nothing runs again, and other settings are refused.
    assert run_pipeline(TINY, layout, console) == read_json(layout.results)
    with pytest.raises(InputError, match="eval_episodes=3, and now it is 4"):
        run_pipeline(replace(TINY, eval_episodes=4), layout, console)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--task=drawer-opn"], "drawer-open"),
        (["--task=hard"], "stands for 6 tasks"),
        (["--size=smal"], "small"),
        (["--episodes=0"], "episodes=0"),
        (["--observations=0"], "observations=0"),
        (["--samples=1"], "samples=1: comparing action samples needs at least 2"),
        (["--task=detour", "--held-out-episodes=3"], "--held-out-episodes=3: expert"),
        (["--expert=nobody"], "nobody"),
        (["--task=detour", "--episodes=5"], "multiple of 2"),
        (["--env-type=adroi"], "adroit"),
        (["--env-type=adroit"], "door"),
        (["--env-type=dexart"], "laptop"),
        (["--env-type=dexart", "--task=laptop", "--expert=mpc"], "supports adroit"),
        (["--env-type=adroit", "--task=door", "--expert=dapg"], "--expert-path: is missing"),
        (["--env-type=adroit", "--task=door", "--expert=dapg", "--expert-path=gone.pickle"], "gone.pickle"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, arguments, complaint):
    output = tmp_path / "run"
    result = CliRunner().invoke(app, ["quickstart", "--task=reach", f"--output={output}", *arguments])
    assert result.exit_code == 2
    assert complaint in result.output
    assert not output.exists()


def test_too_few_held_out_frames_are_told_before_the_trainings_end(tmp_path):
    config = replace(TINY, observations=13)  # One episode of 12 steps.
    layout = RunLayout(tmp_path / "run")
    write_json(layout.held_out / "meta" / "info.json", {"total_frames": 12})
    with pytest.raises(InputError, match="--observations=13: the 1 held-out demonstrations have only 12 frames"):
        check_held_out(config, layout)
    check_held_out(TINY, layout)
    needs = {stage.name: stage.needs for stage in all_stages(config, layout)}
    assert needs["check_held_out"] == ("record_held_out",)
    assert "check_held_out" in needs["distances"]


def test_a_shorter_student_is_still_what_its_row_says():
    """Its warm-up keeps its share, so the demonstrations enter however few steps there are."""
    student = preset("small", "detour").student
    assert (student.steps, student.policy["warmup_steps"]) == (1500, 600)
    shorter = with_steps(student, 500)
    assert (shorter.steps, shorter.policy["warmup_steps"]) == (500, 200)


def test_only_one_run_in_a_folder(tmp_path):
    layout, console = RunLayout(tmp_path / "run"), Console(file=io.StringIO(), width=200)
    claim_folder(layout.root, TINY.settings())
    with filelock.FileLock(layout.root / ".lock"), pytest.raises(InputError, match="another run is using this folder"):
        run_pipeline(TINY, layout, console)
    assert {path.name for path in layout.root.iterdir()} <= {"settings.json", ".lock"}


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--seed=-1", "--seed=-1: must be at least 0"),
        ("--dataset.root=nowhere", "--dataset.root=nowhere: holds no dataset"),
    ],
)
def test_distance_names_the_option(tmp_path, option, complaint):
    policy = SHIPPED / "student"
    arguments = [f"--teacher={policy}", f"--policy={policy}", "--dataset.repo_id=local/x", option]
    result = CliRunner().invoke(app, ["distance", *arguments])
    assert (result.exit_code, complaint in result.output) == (2, True), result.output


def test_distance_does_not_overwrite(tmp_path):
    output = tmp_path / "distances.json"
    output.write_text("precious")
    arguments = ["--teacher=a", "--policy=b", "--dataset.repo_id=local/x", f"--output={output}"]
    result = CliRunner().invoke(app, ["distance", *arguments])
    assert result.exit_code == 2
    assert "exists" in result.output
    assert output.read_text() == "precious"
