"""Saved pipelines as a stranger or a bad disk leaves them: never code, and refused by name where they are damaged."""

import contextlib
import copy
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class
from lerobot.processor import PolicyProcessorPipeline
from safetensors.torch import load_file, save_file
from test_fuzzed_settings import VALUES, mutated, places

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.guards import NonFiniteError
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.policies.source.source_policy import SourcePolicy

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
LIMITS = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
BEFORE, BEHIND = "policy_preprocessor.json", "policy_postprocessor.json"
STATE, CLOUD = "observation.state", "observation.point_cloud"


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained("dp3"), tmp_path / "policy"))


def change(folder: Path, edit, name: str = BEFORE) -> None:
    pipeline = json.loads((folder / name).read_text())
    edit(pipeline)
    (folder / name).write_text(json.dumps(pipeline))


def teacher_config(folder: Path) -> PreTrainedConfig:
    """As every policy reads that of the one that it is made from."""
    return SourcePolicy(str(folder), kinds=("dp3",)).config


def hostile_steps(marker: Path) -> list[dict]:
    return [
        {"class": "subprocess.Popen", "config": {"args": ["touch", str(marker)]}},
        {"class": "os.system", "config": {"command": f"touch {marker}"}},
        {"class": "hostile_module.Step", "config": {}},
        {"registry_name": "action_tokenizer_processor", "config": {"action_tokenizer_name": "evil/tokenizer"}},
        {"registry_name": "no_such_step", "config": {}},
        {"registry_name": ["normalizer_processor"], "config": {}},
    ]


@pytest.mark.parametrize("how", ["evaluation", "python", "teacher"])
@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("name", [BEFORE, BEHIND])
def test_a_pipeline_is_no_program(copied, tmp_path, monkeypatch, number, name, how):
    """By every way to a checkpoint's pipelines."""
    marker = tmp_path / "was-here"
    (tmp_path / "hostile_module.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    change(copied, lambda pipeline: pipeline["steps"].insert(0, hostile_steps(marker)[number]), name)
    load = {
        "evaluation": get_policy_class("dp3").from_pretrained,
        "python": lambda folder: load_from_spec(PolicySpec("x", str(folder))),
        "teacher": teacher_config,
    }[how]
    with pytest.raises(InputError, match=rf"{name}: names (a step|LeRobot's step)"):
        load(copied)
    assert not marker.exists()
    assert "hostile_module" not in sys.modules


def test_lerobot_itself_would_run_it(copied, tmp_path):
    """Why pipelines are looked at first. If this fails, LeRobot has mended it."""
    marker = tmp_path / "was-here"
    change(copied, lambda pipeline: pipeline["steps"].insert(0, hostile_steps(marker)[1]))
    with contextlib.suppress(Exception):
        PolicyProcessorPipeline.from_pretrained(copied, config_filename=BEFORE)
    assert marker.exists()


@pytest.mark.parametrize(
    ("edit", "offender"),
    [
        (lambda state: state.pop("action.min"), r"no 'min' of 'action', so that 'action' would not be normalized"),
        (lambda state: state.update({f"{STATE}.max": torch.ones(8)}), r"'max' of .*state' has shape \(8,\), .* \(9,\)"),
        (lambda state: state.update({f"{CLOUD}.max": torch.ones(6)}), r"'max' of .* has shape \(6,\), .* \(12, 3\)"),
        (lambda state: state[f"{CLOUD}.min"].fill_(float("nan")), r"'min' of 'observation.point_cloud' is not finite"),
        (lambda state: state.clear(), r"no 'min' of"),
    ],
)
def test_statistics_that_are_missing_or_do_not_fit(copied, edit, offender):
    """LeRobot's normalizer passes on what it has no statistics of."""
    (file,) = copied.glob("policy_preprocessor*normalizer*.safetensors")
    state = load_file(file)
    edit(state)
    save_file({key: value.contiguous() for key, value in state.items()}, file)
    with pytest.raises(InputError, match=rf"{file.name}, of {BEFORE}: {offender}"):
        load_from_spec(PolicySpec("x", str(copied)))


@pytest.mark.parametrize("state", ["../policy/model.safetensors", "/etc/passwd", 3, "missing.safetensors"])
def test_the_state_of_a_step_lies_beside_it(copied, state):
    change(copied, lambda pipeline: pipeline["steps"][-1].update(state_file=state))
    with pytest.raises(InputError, match=r"is not a file next to it|holds no missing\.safetensors"):
        load_from_spec(PolicySpec("x", str(copied)))


def test_a_pipeline_without_its_normalizer(copied):
    change(copied, lambda pipeline: pipeline["steps"].pop(0), BEHIND)
    with pytest.raises(InputError, match=rf"{BEHIND}: must hold one 'unnormalizer_processor'"):
        load_from_spec(PolicySpec("x", str(copied)))


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 10_000])
@pytest.mark.parametrize("name", ["config.json", BEFORE])
@pytest.mark.parametrize("load", [lambda folder: load_from_spec(PolicySpec("x", folder)), teacher_config])
def test_files_that_are_no_json(copied, content, name, load):
    (copied / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: (not valid JSON|contains .* must be a JSON object)"):
        load(str(copied))


def assert_acts_or_is_clear(folder: Path) -> None:
    """As `lerobot-eval` has it: an action of the right shape, or one of the exceptions that are meant for people."""
    try:
        loaded = load_from_spec(PolicySpec("x", str(folder)))
        seen = {STATE: torch.rand(2, 9), CLOUD: torch.rand(2, 12, 3)}
        action = loaded.postprocess(loaded.policy.select_action(loaded.preprocess(seen)))
    except (InputError, NonFiniteError):
        return
    except ValueError as error:
        if "Failed to instantiate processor step" not in str(error):  # LeRobot's own sentence
            raise
        return
    assert action.shape == (2, 4)


def beside(folder: Path, tmp_path_factory, name: str) -> Path:
    """A folder with links to all files of a checkpoint but one."""
    broken = tmp_path_factory.mktemp("broken")
    for file in folder.iterdir():
        if file.name != name:
            (broken / file.name).symlink_to(file)
    return broken


@LIMITS
@given(data=st.data())
def test_any_pipeline(trained, tmp_path_factory, data):
    folder = trained("dp3")
    name = data.draw(st.sampled_from((BEFORE, BEHIND)))
    pipeline = {str(i): step for i, step in enumerate(json.loads((folder / name).read_text())["steps"])}
    place = data.draw(st.sampled_from(sorted(places(pipeline), key=str)))
    how = data.draw(st.sampled_from(("replace", "replace", "leave out", "add")))
    changed = mutated(copy.deepcopy(pipeline), place, how, data.draw(st.sampled_from(VALUES)))
    broken = beside(folder, tmp_path_factory, name)
    (broken / name).write_text(json.dumps({"name": "x", "steps": list(changed.values())}))
    assert_acts_or_is_clear(broken)
    shutil.rmtree(broken)


@LIMITS
@given(data=st.data())
def test_any_bytes(trained, tmp_path_factory, data):
    """Some bytes of one of the files replaced, and perhaps its end cut off."""
    folder = trained("dp3")
    name = data.draw(st.sampled_from(sorted(file.name for file in folder.glob("policy_p*"))))
    content = bytearray((folder / name).read_bytes())
    spots = st.integers(0, min(len(content), 2000) - 1)
    for spot, byte in data.draw(st.dictionaries(spots, st.integers(0, 255), min_size=1, max_size=4)).items():
        content[spot] = byte
    broken = beside(folder, tmp_path_factory, name)
    (broken / name).write_bytes(bytes(content[: data.draw(st.none() | spots)]))
    assert_acts_or_is_clear(broken)
    shutil.rmtree(broken)
