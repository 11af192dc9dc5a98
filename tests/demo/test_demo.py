"""The trained pair: made of a run by the script that makes it, loaded, and shown by `lerobot-sdm demo`."""

import json
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from example_scripts import load_script
from measure.conftest import make_dataset, save_policy
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import lerobot_sdm
from lerobot_sdm.cli.main import app
from lerobot_sdm.demo import pair as pairs
from lerobot_sdm.demo.pair import read_pair
from lerobot_sdm.errors import InputError
from lerobot_sdm.files import write_json
from lerobot_sdm.measure.cell import data_hash
from lerobot_sdm.measure.methods import ROWS
from lerobot_sdm.measure.plan import RunLayout
from lerobot_sdm.measure.quickstart import all_stages
from lerobot_sdm.measure.settings import RunSettings, Training
from lerobot_sdm.measure.statistics import wilson_interval

make_demo = load_script("maintenance/make_demo.py")
build_pair = make_demo.build_pair

SUCCESSES = {"teacher_10": [True, True, False], "teacher_1": [False, False, True], "student": [True, False, True]}
CONFIG = RunSettings(
    task="detour",
    env={"num_points": 16, "camera_size": 24, "episode_length": 6},
    teacher=Training(2, 4, 2),
    student=Training(2, 4, 2),
    eval_episodes=3,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """What the making of a pair reads of a finished quickstart: data, untrained checkpoints, results."""
    layout = RunLayout(tmp_path_factory.mktemp("run"))
    make_dataset(layout.demonstrations)
    for name in ("teacher", "student"):
        layout.checkpoint(name).parent.mkdir(parents=True)
    teacher = save_policy("dp3", layout.demonstrations, layout.checkpoint("teacher"))
    save_policy("sdm", layout.demonstrations, layout.checkpoint("student"), teacher_path=str(teacher))
    commands = {stage.name: stage.command for stage in all_stages(CONFIG, layout)}
    difference = {"estimate": 0.0, "low": 0.0, "high": 0.0}
    write_json(
        layout.results,
        {
            "task": CONFIG.name,
            "settings": CONFIG.settings(),
            "evaluation_seeds": [100_000, 100_002],
            "rows": [
                {
                    "key": row.key,
                    "label": row.label,
                    "successes": SUCCESSES.get(row.key, [False] * 3),
                    "success_rate": asdict(wilson_interval(sum(SUCCESSES.get(row.key, [])), 3)),
                    "difference_to_teacher": difference,
                    "latency": None,
                    "distance_to_teacher": {},
                }
                for row in ROWS
            ],
            "distances": {"observations": 2, "samples": 2, "seed": 0, "unit": "normalized action units"},
            "student_minus_teacher": difference,
            "stages": [
                {"stage": stage, "command": " ".join(map(str, command)).replace(f"{layout.root}/", ""), "seconds": 1.0}
                for stage, command in commands.items()
                if stage in ("record", "train_teacher", "train_student")
            ],
            "versions": {"python": "3.12"},
            "machine": {"gpu": None, "processor": "some"},
        },
    )
    return layout.root


@pytest.fixture(scope="module")
def pair(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "pair"
    argv = sys.argv
    sys.argv = ["make_demo.py", str(run), f"--output={folder}"]
    try:
        make_demo.main()
    finally:
        sys.argv = argv
    return folder


def test_weights_are_stored_in_half_precision_and_loaded_in_single(run, pair):
    for name in ("teacher", "student"):
        trained = load_file(RunLayout(run).checkpoint(name) / "model.safetensors")
        stored = load_file(pair / name / "model.safetensors")
        assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}
        loaded = lerobot_sdm.load_policy(pair / name).policy.state_dict()
        for key, value in trained.items():
            assert loaded[f"model.{key}"].dtype == value.dtype
            # Half precision keeps 11 bits of each number.
            torch.testing.assert_close(loaded[f"model.{key}"], value, rtol=2**-11, atol=2**-24)


def test_cards_say_where_the_policies_come_from(run, pair):
    for name, kind, success in (("teacher", "dp3", "2/3"), ("student", "sdm", "2/3")):
        card = (pair / name / "README.md").read_text()
        assert f"`{kind}` of [LeRobot]" in card
        assert data_hash(RunLayout(run).demonstrations) in card
        assert f"| {success} |" in card
        assert "--dataset.root=data/demonstrations" in card
        assert "evaluation 100000 to 100002" in card
        assert re.search(r"Commit: `([0-9a-f]{40}|none)", card)
        assert str(run) not in card


def test_whole_pair_is_known_and_holds_nothing_else(pair):
    known = read_pair(pair)
    assert (known.env_type, known.task, known.first_seed) == ("metaworld_pc", "detour", 100_000)
    assert known.measured == {"teacher_10": (2, 3), "teacher_1": (1, 3), "student": (2, 3)}
    files = {str(path.relative_to(pair)) for path in pair.rglob("*") if path.is_file()}
    assert "pair.json" in files
    assert {Path(name).suffix for name in files} == {".json", ".safetensors", ".md"}
    assert not [name for name in files if "training_state" in name]


def test_a_policy_acts_in_an_environment_in_a_few_lines(pair):
    """The snippet of the README."""
    known = read_pair(pair)
    policy, env = lerobot_sdm.load_policy(known.student), known.make_env()
    observation, _ = env.reset(seed=0)
    policy.reset()
    actions = []
    for _ in range(6):
        actions.append(policy.act(observation))
        observation, _, terminated, truncated, _ = env.step(actions[-1])
    assert truncated
    assert not terminated
    assert np.stack(actions).shape == (6, 4)
    assert actions[0].dtype == np.float32


def test_demo_shows_table_and_video(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["demo", f"--pair={pair}", "--episodes=2", "--filmed=1", "--render-size=64"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    assert [row[0] for row in rows] == ["teacher, 10 steps", "teacher, 1 step", "student, 1 step"]
    assert [row[1] for row in rows] == ["0/2"] * 3  # They are untrained.
    assert [row[2] for row in rows] == ["2/3", "1/3", "2/3"]
    assert [row[3] for row in rows] == ["10", "1", "1"]
    assert all(float(row[4]) > 0 for row in rows)
    video = iio.imread(tmp_path / "outputs/demo/comparison.mp4", plugin="pyav")
    # Six steps in steps of two, the end, and the second for which it stays; three pictures side by side.
    assert video.shape == (4 + 30, 64 + 24, 3 * 64, 3)
    assert video.std() > 10
    # Its own file may be renewed, one that was asked for by name may not.
    assert CliRunner().invoke(app, arguments).exit_code == 0
    refused = CliRunner().invoke(app, [*arguments, "--output=outputs/demo/comparison.mp4"])
    assert refused.exit_code == 2
    assert "--output=outputs/demo/comparison.mp4: exists already" in refused.output


def test_without_a_pair_it_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "SHIPPED", tmp_path / "none")
    result = CliRunner().invoke(app, ["demo"])
    assert result.exit_code == 2
    assert "ships no trained pair" in result.output
    assert "make_demo.py" in result.output
    result = CliRunner().invoke(app, ["demo", f"--pair={tmp_path}"])
    assert result.exit_code == 2
    assert f"--pair={tmp_path}: contains no pair.json" in result.output


DAMAGED_FACTS = {
    "no JSON": (lambda facts: "{", r"pair\.json: not valid JSON"),
    "a list": (lambda facts: json.dumps([facts]), r"pair\.json: contains .*must be a JSON object"),
    "a foreign object": (lambda facts: json.dumps({"name": "pear"}), "'env_type' in pair.json is missing"),
    "a number as text": (
        lambda facts: json.dumps(facts | {"first_seed": "1"}),
        "'first_seed' in pair.json is missing, or",
    ),
    "no such environment": (lambda facts: json.dumps(facts | {"env_type": "pears"}), "env_type: 'pears' is not known"),
    "no such option": (lambda facts: json.dumps(facts | {"env": {"pears": 1}}), "env: 'pears' is not known"),
    "no results": (
        lambda facts: json.dumps(facts | {"measured": {"student": [1]}}),
        ".* the two numbers of 'teacher_10'",
    ),
    "half a result": (
        lambda facts: json.dumps(facts | {"measured": facts["measured"] | {"student": [1]}}),
        ".* the two numbers of 'student'",
    ),
}


@pytest.mark.parametrize(("damaged", "told"), DAMAGED_FACTS.values(), ids=DAMAGED_FACTS)
def test_damaged_facts_are_refused(tmp_path, damaged, told):
    facts = json.loads((pairs.SHIPPED / "pair.json").read_text())
    (tmp_path / "pair.json").write_text(damaged(facts))
    with pytest.raises(InputError, match=f"^--pair={tmp_path}: {told}"):
        read_pair(tmp_path)


def test_a_pair_without_its_policies_is_refused(tmp_path):
    shutil.copyfile(pairs.SHIPPED / "pair.json", tmp_path / "pair.json")
    result = CliRunner().invoke(app, ["demo", f"--pair={tmp_path}"])
    assert result.exit_code == 2, result.output
    assert str(tmp_path / "teacher") in result.output.replace("\n", "")


def test_bad_runs_leave_no_pair(run, pair, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"holds no results\.json"):
        build_pair(tmp_path, tmp_path / "pair")
    with pytest.raises(InputError, match=r"--output=.*exists already"):
        build_pair(run, pair)
    with monkeypatch.context() as patch:
        patch.setattr(make_demo, "MOST_BYTES", 1000)
        with pytest.raises(InputError, match=r"takes [\d,]+ bytes, but at most 1,000 are allowed"):
            build_pair(run, tmp_path / "pair")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    file = RunLayout(copy).checkpoint("teacher") / "model.safetensors"
    weights = load_file(file)
    name = next(iter(weights))
    save_file(weights | {name: torch.full_like(weights[name], 1e6)}, file)
    with pytest.raises(InputError, match=f"'{name}' holds values above 65504"):
        build_pair(copy, tmp_path / "pair")
    assert not (tmp_path / "pair").exists()
    assert json.loads((copy / "results.json").read_text())["task"] == "detour"
