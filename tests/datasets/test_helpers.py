"""Processes that help to record: what they record is the same, and they are started where that pays."""

import contextlib
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from test_recording import brief, columns_of, provenance_of
from warm_start import run_forked

from lerobot_sdm.datasets import helpers, record
from lerobot_sdm.datasets.driving import Setting
from lerobot_sdm.datasets.episodes import Rules
from lerobot_sdm.datasets.helpers import Helpers
from lerobot_sdm.experts import expert_class

pytest_plugins = ("warm_start",)

EPISODES = 5

RECORD = """
import json, sys, threading
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[1])
from test_helpers import recorded_with_help
print(json.dumps(recorded_with_help(Path(sys.argv[2]))), file=sys.stderr)
"""


def recorded_with_help(root: Path) -> tuple[list[int], list[str]]:
    """Record with a helper, however little there is to do; returns which attempts it drove, and how it was started."""
    helped, drive = [], Helpers.drive
    methods, start = [], Helpers._start

    def noted(self, attempt):
        helped.append(attempt.index)
        return drive(self, attempt)

    def started(self, method):
        methods.append(method)
        start(self, method)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helpers, "FORKED_SECONDS", 0)
        patch.setattr(helpers, "SPAWNED_SECONDS", 0)
        patch.setattr(record, "available_cores", lambda: 2)
        patch.setattr(Helpers, "drive", noted)
        patch.setattr(Helpers, "_start", started)
        record.record(brief(root, episodes=EPISODES, workers=2))
    return helped, methods


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """Recorded by this process."""
    return record.record(brief(tmp_path_factory.mktemp("alone") / "data", episodes=EPISODES))


def check_same(root: Path, expected: Path) -> None:
    recorded = columns_of(root)
    for key, values in columns_of(expected).items():
        np.testing.assert_array_equal(recorded[key], values, err_msg=key)
    assert provenance_of(root) == provenance_of(expected)


@pytest.mark.slow
def test_a_new_process_records_the_same(alone, tmp_path):
    """This process has drawn already, so that it is not copied."""
    helped, methods = recorded_with_help(tmp_path / "data")
    assert methods == ["spawn"]
    assert helped
    assert 0 not in helped  # Only then is it known how long an attempt takes.
    check_same(tmp_path / "data", alone)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="does not fork")
def test_a_copy_of_the_process_records_the_same(alone, tmp_path, warm):
    (tmp_path / "record.py").write_text(RECORD)
    places = json.dumps([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    status, told = run_forked(warm, sys.executable, str(tmp_path / "record.py"), places, str(tmp_path / "data"))
    assert status == 0, told
    helped, methods = json.loads(told.splitlines()[-1])
    assert methods == ["fork"]
    assert helped
    check_same(tmp_path / "data", alone)


def test_help_is_called_where_it_pays(tmp_path):
    setting = Setting(brief(tmp_path / "x").env, expert_class("scripted"), {}, Rules("any", 1, None), seed=0)
    with contextlib.closing(Helpers(0, setting, tmp_path)) as nobody:
        assert not nobody.pay(1000, 1000.0)
    with contextlib.closing(Helpers(1, setting, tmp_path)) as one:
        one.start_seconds = 20.0
        # Of 100 attempts half are saved.
        assert not one.pay(100, 0.4)
        assert one.pay(100, 0.41)
        assert not one.pay(1, 1000.0)
        one.start_seconds = 2.0
        assert one.pay(100, 0.05)


def test_no_copy_while_a_thread_runs():
    """It would not be in the copy, and what it holds would be held for ever."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert not helpers.may_fork()
    finally:
        stop.set()
        thread.join()
