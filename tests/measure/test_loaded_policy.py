"""Policies of a comparison: reading them from the command line and from checkpoints."""

import pytest

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.loaded_policy import load_from_spec, same_action_units
from lerobot_sdm.measure.policy_spec import PolicySpec


def test_parse():
    assert PolicySpec.parse("runs/a") == PolicySpec("runs/a", "runs/a")
    parsed = PolicySpec.parse("runs/a,label=read-out,num_inference_steps=1")
    assert parsed == PolicySpec("read-out", "runs/a", {"num_inference_steps": "1"})
    chained = PolicySpec.parse("runs/a,chaining_times=[27,54],label=three")
    assert chained == PolicySpec("three", "runs/a", {"chaining_times": "[27,54]"})
    assert PolicySpec.parse("runs/a,num_inference_steps=2").label == "runs/a, num_inference_steps=2"
    with pytest.raises(InputError, match=r"--policy=runs/a,steps: 'steps' is not FIELD=VALUE"):
        PolicySpec.parse("runs/a,steps")


def test_overrides_reach_the_policy(tiny):
    plain = load_from_spec(PolicySpec("a", str(tiny.teacher)))
    changed = load_from_spec(PolicySpec("b", str(tiny.teacher), {"num_inference_steps": "2"}))
    assert plain.config.num_inference_steps == 10
    assert changed.config.num_inference_steps == 2
    assert not changed.policy.training


def test_unknown_field_offers_the_nearest(tiny):
    with pytest.raises(InputError, match="num_inference_steps"):
        load_from_spec(PolicySpec("a", str(tiny.teacher), {"num_inference_step": "2"}))


def test_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        load_from_spec(PolicySpec("a", str(tmp_path)))
    with pytest.raises(InputError, match="neither a folder nor"):
        load_from_spec(PolicySpec("a", str(tmp_path / "missing")))


def test_action_units(tiny):
    teacher, student, other = (
        load_from_spec(PolicySpec(path.name, str(path))) for path in (tiny.teacher, tiny.student, tiny.other_units)
    )
    assert same_action_units(teacher, student)
    assert not same_action_units(teacher, other)
