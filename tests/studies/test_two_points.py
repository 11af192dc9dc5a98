"""The study of two points: which one-step policies keep both ways, and the committed table."""

from pathlib import Path

import pytest
from example_scripts import load_script

from lerobot_sdm.files import read_json

ROOT = Path(__file__).parents[2]
STUDY = load_script("studies/two_points.py")
BETWEEN = ("`flow`, 1 step", "`drift` with the released floor and output")
"""One step of flow matching is the mean of the demonstrations, and drifting as released ends there."""


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDY.POLICIES)
def test_keeps_two_ways_or_goes_between_them(name):
    kind, settings = STUDY.POLICIES[name]
    found = STUDY.learned(kind, **settings)
    if name in BETWEEN:
        assert found["between"] > 0.9
    else:
        assert min(found["below"], found["above"]) > 0.3
        assert found["between"] < 0.15


def test_the_docs_have_the_committed_table():
    found = read_json(ROOT / "results" / "two_points" / "shares.json")["policies"]
    assert list(found) == list(STUDY.POLICIES)
    assert STUDY.table(found) in (ROOT / "docs" / "one_step.md").read_text()
