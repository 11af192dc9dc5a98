"""What belongs to one machine is found, and taken out of configurations."""

import json
from pathlib import Path

import pytest

from lerobot_sdm.cards.privacy import (
    hub_name,
    private_passages,
    public_policy_config,
    public_train_config,
    without_folders,
)


@pytest.mark.parametrize(
    "text",
    [
        "trained in /home/ada/outputs",
        '"root": "/mnt/data/demos"',
        "see ~/experiments",
        r"C:\Users\ada\x",
        "token hf_abcdefghijABCDEFGHIJ0123",
    ],
)
def test_private_text_is_found(text, tmp_path):
    (tmp_path / "README.md").write_text(f"line\n{text}\n")
    (found,) = private_passages(tmp_path)
    assert found.startswith("README.md, line 2: ")
    assert "ABCDEFGHIJ" not in found


@pytest.mark.parametrize(
    "text",
    [
        "[paper](https://arxiv.org/abs/2412.09265)",
        "data/chunk-000/file-000.parquet and 24/7, and/or, 3/4",
        '<a class="flex" href="https://huggingface.co/spaces/lerobot/x?path=me/y"></a>',
        "me/drawer-open-sdm@abc, ../x, N(0, 1)",
        "lerobot-eval --policy.path=me/student --output_dir=outputs/eval",
    ],
)
def test_public_text_is_not(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    assert list(private_passages(tmp_path)) == []


def test_only_names_on_the_hub_survive_as_teachers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("outputs/teacher").mkdir(parents=True)
    assert hub_name("me/teacher") == "me/teacher"
    assert hub_name("outputs/teacher") is None
    assert hub_name("outputs/teacher/checkpoints/last") is None
    assert hub_name("/somewhere/teacher") is None
    assert hub_name(None) is None


def test_policy_configurations_lose_paths_and_keep_the_rest():
    config = {"type": "sdm", "teacher_path": "a/b/c", "teacher_revision": "r", "teacher_sha256": "f", "horizon": 4}
    public = public_policy_config({**config, "pretrained_path": "/x/y", "extra": ["/home/me/file", 1]})
    assert public == {
        "type": "sdm",
        "teacher_path": None,
        "teacher_revision": None,
        "teacher_sha256": "f",
        "horizon": 4,
        "pretrained_path": None,
        "extra": [None, 1],
    }


def test_training_configurations_lose_where_it_ran():
    public = public_train_config(
        {
            "dataset": {"repo_id": "me/data", "root": "data/demos"},
            "policy": {"type": "dp3", "pretrained_path": "outputs/a/b"},
            "output_dir": "outputs/me",
            "job_name": "secret",
            "wandb": {"entity": "me"},
            "steps": 5,
        }
    )
    expected = {"dataset": {"repo_id": "me/data"}, "policy": {"type": "dp3", "pretrained_path": None}, "steps": 5}
    assert json.loads(json.dumps(public)) == expected


def test_bases_and_reward_models_are_treated_like_teachers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"type": "x", "base_path": "outputs/dp3/last", "base_revision": "r", "base_sha256": "f"}
    public = public_policy_config({**config, "reward_path": "me/reward", "reward_revision": "v1"})
    assert public == {
        "type": "x",
        "base_path": None,
        "base_revision": None,
        "base_sha256": "f",
        "reward_path": "me/reward",
        "reward_revision": "v1",
    }


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/home/ada/dexart-assets", "dexart-assets"),
        ("/mnt/data/my assets/", "my assets"),
        ("~/outputs/run", "run"),
        (r"C:\Users\ada\assets", "assets"),
        ("hf_abcdefghijABCDEFGHIJ0123", None),
        ("/home/ada/hf_abcdefghijABCDEFGHIJ0123", None),
        ("outputs/run", "outputs/run"),
        ("Open a drawer, and/or close it", "Open a drawer, and/or close it"),
    ],
)
def test_of_a_folder_the_name_stays(text, public):
    told = {"env": {"assets_dir": text, "objects": ["seen", text]}, "seed": 3, "view": None}
    assert without_folders(told) == {
        "env": {"assets_dir": public, "objects": ["seen", public]},
        "seed": 3,
        "view": None,
    }
