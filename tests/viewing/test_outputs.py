"""The recording and the sheet that `lerobot-sdm view` writes."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rerun as rr
from PIL import Image
from plate import FRAMES, POINTS
from typer.testing import CliRunner

from lerobot_sdm.cli.main import app
from lerobot_sdm.viewing.contact_sheet import contact_sheet
from lerobot_sdm.viewing.palette import Scene
from lerobot_sdm.viewing.rerun_log import blueprint, points_of
from lerobot_sdm.viewing.sources import open_episode


def call(*arguments: str):
    return CliRunner().invoke(app, ["view", *arguments])


def rows_of(file: Path) -> Counter:
    """Rows of each entity in a recording."""
    counts = Counter()
    for chunk in rr.recording.load_recording(file).chunks():
        counts[chunk.entity_path] += 0 if chunk.is_static else chunk.num_rows
    return counts


def test_a_recording_holds_every_frame_and_the_layout(tmp_path, dataset):
    file = tmp_path / "deeper" / "plate.rrd"
    done = call(str(dataset), "--episode=1", f"--rrd={file}")
    assert done.exit_code == 0, done.output
    assert list(file.parent.iterdir()) == [file]
    rows = rows_of(file)
    for entity in ("scene/observation.point_cloud", "observation.image", "observation.state", "action", "next.success"):
        assert rows[f"/{entity}"] == FRAMES, entity
    assert "/about" in rows


def test_padding_is_not_drawn(dataset):
    episode = open_episode(str(dataset), 0, None, None)
    cloud = episode.read(0)["observation.point_cloud"]
    drawn = points_of(cloud, Scene.of([cloud]), first=True)
    assert len(drawn.positions) == POINTS - 8


@pytest.mark.parametrize("kind", ["dataset", "store"])
def test_the_sheet_shows_moments_over_curves(tmp_path, kind, request):
    file = tmp_path / "sheet.png"
    done = call(str(request.getfixturevalue(kind)), f"--png={file}", "--moments=4")
    assert done.exit_code == 0, done.output
    picture = np.asarray(Image.open(file).convert("RGB")).astype(int)
    assert picture.shape[1] > 1000
    # The plate's color is there, and so are the curves' blue and the stripes of fifteen actions.
    for color in ([200, 100, 50], [31, 119, 180]):
        assert (np.abs(picture - color).sum(axis=2) < 12).sum() > 100
    assert list(tmp_path.iterdir()) == [file]


def test_an_episode_without_cloud_or_image_still_makes_a_sheet(tmp_path, dataset):
    episode = replace(open_episode(str(dataset), 0, None, None), clouds=(), images=())
    contact_sheet(episode, Scene.of([]), tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size[1] > 200
    assert blueprint(episode, Scene.of([])) is not None


def test_without_a_screen_both_files_are_written(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for _ in range(2):  # looking again is no reason to complain
        done = call(str(store), "--episode=1")
        assert done.exit_code == 0, done.output
    names = sorted(path.name for path in (tmp_path / "outputs/view").iterdir())
    assert names == ["plate_episode_1.png", "plate_episode_1.rrd"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--png=taken.png"], "already exists"),
        (["--rrd=sheet.png"], "ends in .rrd"),
        (["--png=sheet.jpg"], "ends in .png"),
        (["--moments=0", "--png=a.png"], "--moments=0"),
        (["--fps=0", "--png=a.png"], "--fps=0"),
        (["--episode=7", "--png=a.png"], "--episode=7"),
        (["--cameras=none.yaml", "--png=a.png"], "none.yaml"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, store, options, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.png").write_text("mine")
    done = call(str(store), *options)
    assert done.exit_code == 2
    assert says in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
    assert (tmp_path / "taken.png").read_text() == "mine"
