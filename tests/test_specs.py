"""`PATH,FIELD=VALUE` with paths of every kind."""

from pathlib import Path

import pytest

from lerobot_sdm.errors import InputError
from lerobot_sdm.specs import split_spec

PATHS = ("a,b", "lr=0.1", "a,lr=0.1", "x,label=y", "Tür öffnen", "v1.2", "a, b=c", "[1,2]", "#1", ",")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", {}),
        (",label=teacher", {"label": "teacher"}),
        (",label=a, b,down_dims=[8,16],steps = 1", {"label": "a, b", "down_dims": "[8,16]", "steps": "1"}),
        (",assets_dir=/a,b/c=d", {"assets_dir": "/a,b/c=d"}),
    ],
)
def test_what_exists_is_not_cut(path, settings, expected, tmp_path):
    folder = tmp_path / "runs" / path / "pretrained_model"
    folder.mkdir(parents=True)
    assert split_spec(f"{folder}{settings}", "--policy", "") == (str(folder), expected)


def test_the_longest_part_that_exists_is_the_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    assert split_spec("a,label=b", "--policy", "") == ("a", {"label": "b"})
    Path("a,label=b").mkdir()
    assert split_spec("a,label=b", "--policy", "") == ("a,label=b", {})
    assert split_spec("a,label=b,label=c", "--policy", "") == ("a,label=b", {"label": "c"})


def test_a_text_too_long_for_a_file_is_no_path():
    objects = "[" + ",".join(f"object_{number}" for number in range(40)) + "]"
    assert split_spec(f"dexart,objects={objects},task=faucet", "--env", "") == (
        "dexart",
        {"objects": objects, "task": "faucet"},
    )


def test_what_does_not_exist_is_cut_at_the_first_setting():
    assert split_spec("me/policy,label=a,b=c", "--policy", "") == ("me/policy", {"label": "a", "b": "c"})
    assert split_spec("metaworld_pc,task=drawer-open", "--env", "") == ("metaworld_pc", {"task": "drawer-open"})
    with pytest.raises(InputError, match=r"--policy=me/policy,steps: 'steps' is not FIELD=VALUE\. Write PATH\."):
        split_spec("me/policy,steps", "--policy", "PATH")
