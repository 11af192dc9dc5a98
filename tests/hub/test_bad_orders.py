"""Publishing: what is wrong is said before anything is uploaded."""

import json
import shutil
from pathlib import Path

import pytest
from checkpoints.original_files import make_original
from typer.testing import CliRunner

from lerobot_sdm.checkpoints.import_policy import import_checkpoint
from lerobot_sdm.cli.main import app
from lerobot_sdm.hub.staging import trained_steps


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    import_checkpoint(make_original().save(folder / "x.ckpt"), folder / "policy")
    return folder / "policy"


def refused(*args: str | Path) -> str:
    result = CliRunner().invoke(app, ["publish", *map(str, args)])
    assert result.exit_code == 2, (result.output, result.exception)
    return result.output


@pytest.mark.parametrize(
    ("repo_id", "message"),
    [
        ("no-owner", "give the owner and the name on the Hub"),
        ("local/x", "give the owner"),
        ("me/with space", "--repo-id=me/with space"),
        ("a/b/c", "--repo-id=a/b/c"),
    ],
)
def test_impossible_names(policy, repo_id, message):
    assert message in refused(policy, "--repo-id", repo_id)


def test_folders_without_a_policy(policy, tmp_path):
    assert "has no config.json" in refused(tmp_path, "--repo-id", "me/x")
    nested = tmp_path / "checkpoints" / "pretrained_model"
    nested.mkdir(parents=True)
    (nested / "config.json").write_text("{}")
    assert f"Did you mean {nested}?" in refused(tmp_path, "--repo-id", "me/x").replace("\n", "")


def test_results_that_do_not_fit(policy, tmp_path):
    file = tmp_path / "r.json"
    for content, message in (
        ("no json", "not valid JSON"),
        ("[1]", "must be a JSON object. Give a results.json"),
        ("{}", "has neither rows nor tasks. Give a results.json"),
        (json.dumps({"per_task": []}), "Add --suite"),
        (json.dumps({"rows": [{"key": "student"}], "settings": {}}), "has no row for a policy of type 'dp3' (student)"),
    ):
        file.write_text(content)
        assert message in refused(policy, "--repo-id", "me/x", "--results", file)
    file.unlink()
    assert "cannot be read" in refused(policy, "--repo-id", "me/x", "--results", file)


def test_a_teacher_for_a_policy_that_has_none(policy):
    assert "a policy of type 'dp3' has no teacher" in refused(policy, "--repo-id", "me/x", "--teacher", "me/t")


def test_a_teacher_is_named_by_its_repo_and_verified(policy, tmp_path):
    student = shutil.copytree(policy, tmp_path / "student")
    config = json.loads((student / "config.json").read_text())
    (student / "config.json").write_text(json.dumps(config | {"type": "sdm", "teacher_path": None}))
    given = student, "--repo-id", "me/x", "--teacher"
    assert "--teacher=a/b/c: " in refused(*given, "a/b/c")
    assert "its teacher cannot be verified" in refused(*given, "me/t")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"state_file": "../evil.txt"}], "state_file='../evil.txt' is not the name of a file beside it"),
        ([{"state_file": "sub/evil.txt"}], "state_file='sub/evil.txt' is not"),
        ([{"state_file": "/etc/hostname"}], "state_file='/etc/hostname' is not"),
        ([{"state_file": ".."}], "state_file='..' is not"),
        ([{"state_file": "absent.safetensors"}], "state_file='absent.safetensors' is not"),
        ([{"state_file": 3}], "state_file=3 is not"),
        (["evil"], "'steps' must be a list of objects"),
        ({"state_file": "../evil.txt"}, "'steps' must be a list of objects"),
    ],
)
def test_processors_that_name_other_files(policy, tmp_path, steps, message):
    """Their files are uploaded, so they must be those of the policy."""
    folder = shutil.copytree(policy, tmp_path / "policy")
    for place in (tmp_path, folder / "sub"):
        place.mkdir(exist_ok=True)
        (place / "evil.txt").write_text("secret")
    (folder / "policy_preprocessor.json").write_text(json.dumps({"steps": steps}))
    before = sorted(tmp_path.rglob("*"))
    said = refused(folder, "--repo-id", "me/x", "--dry-run", tmp_path / "staged" / "policy").replace("\n", " ")
    assert f"{folder / 'policy_preprocessor.json'}: {message}" in " ".join(said.split())
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "staged"] == before


def test_options_that_a_dataset_does_not_take(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text("{}")
    assert "--suite" in refused(tmp_path, "--repo-id", "me/x", "--suite", "x")
    assert "has no README.md" in refused(tmp_path, "--repo-id", "me/x")


def test_offline_is_said(policy, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(policy, "--repo-id", "me/x")


def test_the_card_of_an_early_checkpoint_has_the_steps_that_were_done(policy, tmp_path, monkeypatch):
    checkpoint = shutil.copytree(policy, tmp_path / "000020" / "pretrained_model")
    (checkpoint / "train_config.json").write_text(json.dumps({"steps": 100, "batch_size": 64, "seed": 7}))
    publish = ["publish", str(checkpoint), "--repo-id", "me/x", "--dry-run"]
    assert CliRunner().invoke(app, [*publish, str(tmp_path / "last")]).exit_code == 0
    assert "Steps 100, batch_size 64, seed 7" in (tmp_path / "last" / "README.md").read_text()
    state = checkpoint.parent / "training_state"
    state.mkdir()
    (state / "training_step.json").write_text(json.dumps({"step": 20}))
    assert trained_steps(checkpoint) == 20
    assert CliRunner().invoke(app, [*publish, str(tmp_path / "early")]).exit_code == 0
    assert "Steps 20, batch_size 64, seed 7" in (tmp_path / "early" / "README.md").read_text()
    assert json.loads((tmp_path / "early" / "train_config.json").read_text())["steps"] == 100
    monkeypatch.chdir(checkpoint)
    assert trained_steps(Path()) == 20
    here = ["publish", ".", "--repo-id", "me/x", "--dry-run", str(tmp_path / "here")]
    assert CliRunner().invoke(app, here).exit_code == 0
    assert (tmp_path / "here" / "README.md").read_text() == (tmp_path / "early" / "README.md").read_text()


def test_dry_run_writes_what_would_be_uploaded(policy, tmp_path):
    folder = tmp_path / "look"
    result = CliRunner().invoke(app, ["publish", str(policy), "--repo-id", "me/x", "--dry-run", str(folder)])
    assert result.exit_code == 0, result.output
    assert {"README.md", "config.json", "model.safetensors"} <= {path.name for path in folder.iterdir()}
    assert "exists already" in refused(policy, "--repo-id", "me/x", "--dry-run", folder)
