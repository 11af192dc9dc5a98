"""Policy specs, as read from the command line, and the policies that they name."""

from pathlib import Path

import pytest
from measure.conftest import make_dataset, save_policy

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.loaded_policy import load_from_spec, same_action_units
from lerobot_sdm.policies.policy_spec import PolicySpec


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="module")
def teacher(data) -> Path:
    return save_policy("dp3", data, data.parent / "teacher")


def test_parse():
    assert PolicySpec.parse("runs/a") == PolicySpec("runs/a", "runs/a")
    parsed = PolicySpec.parse("runs/a,label=read-out,num_inference_steps=1")
    assert parsed == PolicySpec("read-out", "runs/a", {"num_inference_steps": "1"})
    chained = PolicySpec.parse("runs/a,chaining_times=[27,54],label=three")
    assert chained == PolicySpec("three", "runs/a", {"chaining_times": "[27,54]"})
    assert PolicySpec.parse("runs/a,num_inference_steps=2").label == "runs/a, num_inference_steps=2"
    with pytest.raises(InputError, match=r"--policy=runs/a,steps: 'steps' is not FIELD=VALUE"):
        PolicySpec.parse("runs/a,steps")


@pytest.mark.parametrize(
    "text",
    [
        "runs/a",
        "runs/a,num_inference_steps=2,n_action_steps=4",
        "runs/a,label=two,num_inference_steps=2",
        "runs/a,label=runs/a,num_inference_steps=2",
        "runs/a,chaining_times=[27,54]",
    ],
)
def test_the_text_of_a_spec_is_read_as_the_same_spec(text):
    spec = PolicySpec.parse(text)
    assert PolicySpec.parse(spec.text()) == spec


def test_overrides_reach_the_policy(teacher):
    plain = load_from_spec(PolicySpec("a", str(teacher)))
    changed = load_from_spec(PolicySpec("b", str(teacher), {"num_inference_steps": "2"}))
    assert plain.config.num_inference_steps == 10
    assert changed.config.num_inference_steps == 2
    assert not changed.policy.training


def test_unknown_field_offers_the_nearest(teacher):
    with pytest.raises(InputError, match="num_inference_steps"):
        load_from_spec(PolicySpec("a", str(teacher), {"num_inference_step": "2"}))


def test_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        load_from_spec(PolicySpec("a", str(tmp_path)))
    with pytest.raises(InputError, match="neither a folder nor"):
        load_from_spec(PolicySpec("a", str(tmp_path / "missing")))


def test_action_units(data, teacher):
    student = save_policy("sdm", data, data.parent / "student", teacher_path=str(teacher))
    other = save_policy("dp3", data, data.parent / "other", action_scale=3.0)
    teacher, student, other = (load_from_spec(PolicySpec(path.name, str(path))) for path in (teacher, student, other))
    assert same_action_units(teacher, student)
    assert not same_action_units(teacher, other)
