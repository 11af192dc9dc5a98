"""`lerobot-sdm record` from its command line, and the table of verbs it belongs to."""

import json

import pytest
from typer.testing import CliRunner

from lerobot_sdm.cli import main
from lerobot_sdm.cli.record import parse

ENV = ("--env.type=metaworld_pc", "--env.task=drawer-open")


def run(*arguments: str):
    return CliRunner().invoke(main.app, arguments)


def test_dashes_and_underscores_and_both_forms_of_values_are_read():
    config = parse([*ENV, "--repo-id", "local/my-data", "--min_success_steps=7", "--env.num-points=64"])
    assert config.repo_id == "local/my-data"
    assert config.min_success_steps == 7
    assert config.env.num_points == 64
    assert config.env.type == "metaworld_pc"


def test_records(tmp_path):
    small = ("--env.episode_length=4", "--env.num-points=16", "--env.camera_size=24", "--keep=all")
    result = run("record", *ENV, *small, "--episodes=1", "--root", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "data/meta/info.json").read_text())["total_frames"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--env.type=metaworld_pc", "--env.task=drawer-opn"), "Did you mean 'drawer-open'"),
        (("--env.type=metaworld_pd",), "metaworld_pc"),
        (("--env.type=pusht",), "has no expert"),
        (("--episodes=2",), "--env.type"),
        ((*ENV, "--env.num-points=-5"), "num_points=-5"),
        ((*ENV, "--env.camera=corner9"), "corner"),
        ((*ENV, "--episodes=many"), "many"),
        ((*ENV, "--epsiodes=2"), "--epsiodes=2"),
        ((*ENV, "--keep=som"), "any"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = run("record", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("--help",), ()])
def test_help_names_every_option(arguments):
    text = run("record", *arguments).output
    for option in ("episodes:", "min_success_steps:", "num_points:", "--env.type=metaworld_pc"):
        assert option in text


def test_all_verbs_are_listed():
    listed = run("--help").output
    assert all(name in listed for name in main.VERBS)
    assert run("recrod").exit_code == 2


@pytest.mark.parametrize("option", ["--repo-id", "--repo_id"])
def test_options_are_understood_in_both_spellings(option):
    """LeRobot's commands write underscores."""
    result = run("publish", "absent", f"{option}=me/name")
    assert result.exit_code == 2
    assert "absent: not a policy folder" in result.output


def test_every_listed_verb_can_be_loaded():
    for name in main.VERBS:
        assert main.load(name).name == name
