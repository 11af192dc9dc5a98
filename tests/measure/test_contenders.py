"""Policies of a comparison: reading them from the command line and from checkpoints."""

import pytest

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.contenders import Contender, load_contender, same_action_units


def test_parse():
    assert Contender.parse("runs/a") == Contender("runs/a", "runs/a")
    parsed = Contender.parse("runs/a,label=read-out,num_inference_steps=1")
    assert parsed == Contender("read-out", "runs/a", {"num_inference_steps": "1"})
    chained = Contender.parse("runs/a,chaining_times=[27,54],label=three")
    assert chained == Contender("three", "runs/a", {"chaining_times": "[27,54]"})
    assert Contender.parse("runs/a,num_inference_steps=2").label == "runs/a, num_inference_steps=2"
    with pytest.raises(InputError, match=r"--policy=runs/a,steps: 'steps' is not FIELD=VALUE"):
        Contender.parse("runs/a,steps")


def test_overrides_reach_the_policy(tiny):
    plain = load_contender(Contender("a", str(tiny.teacher)))
    changed = load_contender(Contender("b", str(tiny.teacher), {"num_inference_steps": "2"}))
    assert plain.config.num_inference_steps == 10
    assert changed.config.num_inference_steps == 2
    assert not changed.policy.training


def test_unknown_field_offers_the_nearest(tiny):
    with pytest.raises(InputError, match="num_inference_steps"):
        load_contender(Contender("a", str(tiny.teacher), {"num_inference_step": "2"}))


def test_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"no config\.json"):
        load_contender(Contender("a", str(tmp_path)))
    with pytest.raises(InputError, match="neither a folder nor"):
        load_contender(Contender("a", str(tmp_path / "missing")))


def test_action_units(tiny):
    teacher, student, other = (
        load_contender(Contender(path.name, str(path))) for path in (tiny.teacher, tiny.student, tiny.other_units)
    )
    assert same_action_units(teacher, student)
    assert not same_action_units(teacher, other)
