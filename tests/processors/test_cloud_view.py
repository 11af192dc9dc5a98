"""Clouds of another view than the training's are named: from a recording, through a training, to an evaluation."""

import json
import logging

import pytest
from lerobot_commands import SMALL_DP3, lerobot_eval, lerobot_train
from typer.testing import CliRunner

from lerobot_sdm.cli import main
from lerobot_sdm.datasets.convert.layouts import LAYOUTS
from lerobot_sdm.envs.dexart.configuration import DexArtPointCloudEnvConfig
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.metaworld.configuration import MetaWorldPointCloudEnvConfig
from lerobot_sdm.processors import cloud_view
from lerobot_sdm.processors.cloud_view import recorded_view, view_differences, warn_of_another_view

ENV = ("--env.type=metaworld_pc", "--env.task=reach", "--env.episode_length=8", "--env.num_points=16")
SMALL_ENV = (*ENV, "--env.camera_size=32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A recording and a policy of it."""
    root = tmp_path_factory.mktemp("views")
    arguments = ("record", *SMALL_ENV, "--keep=all", "--episodes=1", f"--root={root / 'data'}", "--repo_id=local/small")
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 0, result.output
    with pytest.MonkeyPatch.context() as patch:
        arguments = ("--policy.type=dp3", *SMALL_DP3)
        policy = lerobot_train(patch, root / "data", root / "run", *arguments, steps=2, save_freq=2)
    return root / "data", policy


def test_recordings_and_checkpoints_say_how_their_clouds_are_made(trained):
    data, policy = trained
    view = recorded_view(data)
    assert (view["view"], view["frame"], view["num_points"], view["show_arm"]) == ("workspace", "hand", 16, False)
    assert json.loads((policy / "config.json").read_text())["cloud_view"] == view
    assert "`workspace`: 16 points" in (data / "README.md").read_text()
    # What the clouds show, counted while they were recorded.
    points = json.loads((data / "meta/provenance.json").read_text())["points"]
    assert {"hand", "goal"} <= set(points)
    assert sum(part["mean"] for part in points.values()) <= 16


def test_view_says_what_the_clouds_of_a_recording_show(trained, tmp_path):
    data, _ = trained
    result = CliRunner().invoke(main.app, ("view", str(data), f"--png={tmp_path / 'sheet.png'}"))
    assert result.exit_code == 0, result.output
    assert "view: `workspace`: 16 points" in result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("points of a cloud: ")]
    assert "hand" in line
    assert "goal" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), None),
        (("--env.num_points=12",), "as in training but for num_points was 16, is 12"),
        (("--env.view=dp3",), "view 'dp3', not 'workspace'"),
        (("--env.frame=world",), "frame was 'hand', is 'world'"),
    ],
)
def test_an_evaluation_in_another_view_says_so(trained, options, said, tmp_path, monkeypatch):
    _, policy = trained
    told = []
    # LeRobot's command takes away what pytest has put there to listen.
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    monkeypatch.setattr(cloud_view.logger, "handlers", [handler])
    lerobot_eval(monkeypatch, policy, tmp_path / "out", *SMALL_ENV, *options)
    assert len(told) == (said is not None)
    assert said is None or said in told[0]


def test_views_are_compared_where_both_say_something(caplog):
    views = [MetaWorldPointCloudEnvConfig(task="reach", view=name).cloud_view() for name in ("workspace", "dp3")]
    assert view_differences(views[0], views[0]) == {}
    assert view_differences(views[0], views[1])["frame"] == ("hand", "legacy")
    # An older version did not know an option: nothing can be said about it.
    older = {name: value for name, value in views[0].items() if name != "show_arm"}
    assert view_differences(older, views[0]) == {}
    hands = [DexArtPointCloudEnvConfig(imagin_robot=mode).cloud_view() for mode in ("joined", "none")]
    assert view_differences(*hands) == {"imagin_robot": ("joined", "none")}
    caplog.clear()
    warn_of_another_view(None, views[0], "the environment")
    warn_of_another_view(views[0], None, "the environment")
    assert not caplog.records


@pytest.mark.parametrize(("layout", "task"), [("metaworld", "reach"), ("adroit-pen", "pen"), ("dexart", "laptop")])
def test_converted_stores_of_the_papers_are_in_their_view(layout, task):
    env_type, _ = LAYOUTS[layout].shown_by
    views = {
        name: FAMILIES[env_type].configuration(task=task, view=name, num_points=1024).cloud_view()
        for name in ("dp3", "workspace")
    }
    converted = LAYOUTS[layout].view(points=1024)
    assert view_differences(converted, views["dp3"]) == {}
    assert "show_arm" in view_differences(converted, views["workspace"])
    assert LAYOUTS["pusht"].view(points=1024) is None


@pytest.mark.parametrize("content", ["", "[]", '{"view": 3}', "{}"])
def test_a_provenance_that_says_nothing(content, tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/provenance.json").write_text(content)
    assert recorded_view(tmp_path) is None
    assert recorded_view(tmp_path / "elsewhere") is None
