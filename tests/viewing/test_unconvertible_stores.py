"""Stores that cannot be converted as they stand are shown as far as they can be, and nothing impossible is advised."""

import json
import re
import shutil

import numpy as np
import pytest
from make_stores import demonstrations, write_store

from lerobot_sdm.cli.main import load
from lerobot_sdm.errors import InputError
from lerobot_sdm.viewing.sources import open_episode


def damaged(folder, damage: str):
    """A store with something that conversion refuses."""
    arrays, ends = demonstrations()
    if damage == "parts":
        arrays["left_action"] = arrays["right_action"] = arrays.pop("action")
    if damage == "no observation":
        arrays = {"action": arrays["action"], "timestamp": np.arange(12.0)}
    if damage == "another length":
        arrays["success"] = np.ones(3, np.float32)
    if damage == "six axes":
        arrays["full_state"] = np.ones((12, 1, 1, 1, 1, 1, 2), np.float32)
    source = write_store(folder / "demo.zarr", arrays, ends)
    if damage == "objects":
        metadata = source / "data/full_state/.zarray"
        metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"dtype": "|O"}))
    if damage == "codec":
        metadata = source / "data/full_state/.zarray"
        codec = {"id": "imagecodecs_jpegxl"}
        metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"compressor": codec}))
    if damage == "cut chunk":
        chunk = source / "data/full_state/1.0"
        chunk.write_bytes(chunk.read_bytes()[:-1])
    if damage == "absent chunk":
        (source / "data/full_state/1.0").unlink()
    return source


def advised(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", text))


OPTIONS = {option for parameter in load("view").params for option in parameter.opts}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("parts", None),
        ("no observation", None),
        ("another length", "data/success is excluded: it has 3 rows, not 12"),
        ("six axes", r"data/full_state is excluded: frames of shape .1, 1, 1, 1, 1, 2. cannot be shown"),
        ("objects", "data/full_state is excluded: .*Only arrays of numbers are read"),
        ("codec", "data/full_state is excluded: .*codec 'imagecodecs_jpegxl', which is not accepted"),
        ("cut chunk", "data/full_state is excluded: .*truncated or corrupt"),
        ("absent chunk", "data/full_state: 1 chunks are missing and shown as the fill value"),
    ],
)
def test_what_can_be_shown_is_shown_and_the_rest_is_said(damage, said, tmp_path):
    episode = open_episode(str(damaged(tmp_path, damage)), 2, None, None)
    assert episode.length == 7
    assert episode.read(6) is not None
    expected = {
        "parts": {"left_action", "right_action"},
        "no observation": {"action", "source.timestamp"},
    }
    assert set(episode.signals) >= expected.get(damage, {"action", "observation.state"})
    assert len(episode.notes) == bool(said)
    if said:
        assert re.search(said, episode.notes[0]), episode.notes
    assert advised(" ".join(episode.notes)) <= OPTIONS


@pytest.mark.parametrize("ends", [[4, 13], [4, 3, 12], []])
def test_episodes_that_make_no_sense_are_refused_without_advice_that_view_cannot_follow(ends, tmp_path):
    arrays, _ = demonstrations()
    arrays["success"] = np.ones(3, np.float32)
    source = write_store(tmp_path / "demo.zarr", arrays, np.array(ends, int))
    with pytest.raises(InputError, match="meta/episode_ends") as caught:
        open_episode(str(source), 0, None, None)
    assert advised(str(caught.value)) <= OPTIONS


def test_nothing_is_left_to_show(tmp_path):
    source = write_store(tmp_path / "demo.zarr", {"wide": np.ones((12, 1, 1, 1, 1, 1, 2))}, [12])
    with pytest.raises(InputError, match=r"no array that can be shown\. data/wide: frames of shape"):
        open_episode(str(source), 0, None, None)
    shutil.rmtree(source / "data")
    with pytest.raises(InputError, match="no arrays under data/"):
        open_episode(str(source), 0, None, None)


def test_the_store_of_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(damaged(tmp_path, "parts"))
    assert open_episode(".", 0, None, None).title.startswith("demo, episode 0")
