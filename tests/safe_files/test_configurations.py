"""A checkpoint's configuration that is damaged, or of another version, is one clear error in every command."""

import json
import shutil
from pathlib import Path

import pytest
from lerobot.configs import PreTrainedConfig
from saved_checkpoints import SAVED

from lerobot_sdm.checkpoints.export_base import export_base
from lerobot_sdm.errors import InputError
from lerobot_sdm.plugin import register_all
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.safe_files.configurations import read_configuration


def read(folder: Path) -> None:
    register_all()
    read_configuration(PreTrainedConfig, folder, "it")


def load(folder: Path) -> None:
    load_from_spec(PolicySpec.parse(str(folder)))


def use_as_teacher(folder: Path) -> None:
    source = SourcePolicy(str(folder), None, option="--policy.teacher_path", role="teacher", kinds=("dp3",))
    assert source.config


def export(folder: Path) -> None:
    export_base(folder, folder.parent / "base")


def damaged(tmp_path: Path, **changes) -> Path:
    folder = shutil.copytree(SAVED / "dp3", tmp_path / "policy")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | changes))
    return folder


@pytest.mark.parametrize("command", [read, load, use_as_teacher, export])
def test_a_field_of_another_version(command, tmp_path):
    with pytest.raises(InputError, match=r"config\.json: .*`field_of_2030`.*another version.*install that one"):
        command(damaged(tmp_path, field_of_2030=1))


@pytest.mark.parametrize("command", [read, load, use_as_teacher, export])
def test_an_impossible_value(command, tmp_path):
    with pytest.raises(InputError, match=r"config\.json: .*`horizon`.*'long'"):
        command(damaged(tmp_path, horizon="long"))


@pytest.mark.parametrize("command", [read, load, export])
def test_an_unknown_type(command, tmp_path):
    with pytest.raises(InputError, match=r"config\.json: type: 'dp4' is not known.*'dp3'"):
        command(damaged(tmp_path, type="dp4"))


def test_an_impossible_override():
    with pytest.raises(InputError, match=r"--policy .*num_inference_steps=few.*'few'.*Correct the value"):
        load_from_spec(PolicySpec.parse(f"{SAVED / 'dp3'},num_inference_steps=few"))
