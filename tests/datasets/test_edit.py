"""Editing datasets of clouds: every operation, by LeRobot's own command and by this package's, exact to the bit."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lerobot.datasets import modify_features
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from make_datasets import write_dataset
from make_stores import stored_columns
from typer.testing import CliRunner

import lerobot_policy_sdm  # noqa: F401  (mends LeRobot's tools)
from lerobot_sdm.cards.privacy import private_passages
from lerobot_sdm.cli.main import app
from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.datasets.edit import DatasetEdit, edit_dataset
from lerobot_sdm.errors import InputError

LENGTHS = (7, 2, 12, 5)
CLOUD = "observation.point_cloud"
COLUMNS = {
    CLOUD: {"dtype": "float32", "shape": (11, 6), "info": {"frame": "world", "unit": "m"}},
    "observation.state": {"dtype": "float32", "shape": (3,)},
    "observation.image": {"dtype": "image", "shape": (8, 8, 3)},
    "observation.volume": {"dtype": "float64", "shape": (2, 3, 4)},
    "action": {"dtype": "float32", "shape": (1,)},
    "next.success": {"dtype": "bool", "shape": (1,)},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "monday", COLUMNS, LENGTHS)


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Of another number of frames, which the pandas side of `datasets` joins wrongly."""
    return write_dataset(tmp_path_factory.mktemp("data") / "tuesday", COLUMNS, (4, 9), seed=1)


def content(root: Path, episodes: list[int] | None = None) -> dict[str, np.ndarray]:
    """Columns of some of the episodes as the files hold them; the tasks by name, and no other indices."""
    stored = stored_columns(root)
    rows = [i for i, e in enumerate(stored["episode_index"]) if episodes is None or e in episodes]
    names = pd.read_parquet(root / "meta/tasks.parquet").reset_index().set_index("task_index")
    stored["task"] = [names.iloc[:, 0][index] for index in stored["task_index"]]
    counted = ("index", "episode_index", "task_index", "observation.image")
    return {key: np.array([values[i] for i in rows]) for key, values in stored.items() if key not in counted}


def assert_holds(root: Path, *parts: dict[str, np.ndarray], **changed: str) -> None:
    """The dataset holds these rows, one part after the other, in episodes that are counted anew."""
    found = content(root)
    expected = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    expected |= {key: np.full(len(expected["action"]), value) for key, value in changed.items()}
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert np.array_equal(found[key], values), key
    stored = stored_columns(root)
    assert stored["index"] == list(range(len(expected["action"])))
    starts = [i for i, frame in enumerate(stored["frame_index"]) if frame == 0]
    assert [stored["episode_index"][i] for i in starts] == list(range(len(starts)))


def assert_reads(root: Path) -> None:
    """LeRobot's reader and this package's give the same, with what the columns are known by."""
    readers = (LeRobotDataset, CachedLeRobotDataset)
    stock, cached = (reader("local/x", root=root, video_backend="pyav") for reader in readers)
    assert cached.is_cached
    assert len(stock) == len(cached) == stock.meta.total_frames
    for row in (0, len(stock) - 1):
        for key, value in stock[row].items():
            other = cached[row][key]
            assert value == other if isinstance(value, str) else torch.equal(value, other), key
    assert stock[0][CLOUD].shape == (11, 6)
    assert stock.features[CLOUD]["info"] == {"frame": "world", "unit": "m"}
    assert stock.meta.total_tasks == len(stock.meta.tasks)


def assert_statistics(root: Path) -> None:
    stored, stats = content(root), LeRobotDataset("local/x", root=root, video_backend="pyav").meta.stats
    clouds = stored[CLOUD].reshape(-1, 6)
    np.testing.assert_allclose(stats[CLOUD]["min"], clouds.min(axis=0))
    np.testing.assert_allclose(stats[CLOUD]["max"], clouds.max(axis=0))
    np.testing.assert_allclose(stats[CLOUD]["mean"], clouds.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats[CLOUD]["std"], clouds.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(stats["observation.state"]["max"], stored["observation.state"].max(axis=0))


# ---- LeRobot's own command, with the plugin --------------------------------------------------------------


def lerobot_edit(monkeypatch, *arguments: str) -> None:
    from lerobot.scripts.lerobot_edit_dataset import main

    plugin = "--discover_packages_path=lerobot_policy_sdm"
    monkeypatch.setattr(sys, "argv", ["lerobot-edit-dataset", plugin, *arguments])
    main()


def test_lerobot_deletes(source, tmp_path, monkeypatch):
    new = ("--new_repo_id=local/new", f"--new_root={tmp_path / 'new'}")
    what = ("--operation.type=delete_episodes", "--operation.episode_indices=[1, 2]")
    lerobot_edit(monkeypatch, f"--root={source}", "--repo_id=local/x", *new, *what)
    assert_holds(tmp_path / "new", content(source, [0, 3]))
    assert_reads(tmp_path / "new")
    assert_statistics(tmp_path / "new")


def test_lerobot_splits(source, tmp_path, monkeypatch):
    what = ("--operation.type=split", '--operation.splits={"train": [0, 3], "val": [2]}')
    lerobot_edit(monkeypatch, f"--root={source}", "--repo_id=local/x", f"--new_root={tmp_path}", *what)
    assert_holds(tmp_path / "train", content(source, [0, 3]))
    assert_holds(tmp_path / "val", content(source, [2]))
    assert_reads(tmp_path / "val")
    assert_statistics(tmp_path / "train")


@pytest.mark.parametrize("concatenate", ["true", "false"])
def test_lerobot_merges(source, other, tmp_path, monkeypatch, concatenate):
    what = ("--operation.type=merge", "--operation.repo_ids=['local/x','local/y']")
    roots = (f"--operation.roots=['{source}','{other}']", f"--operation.concatenate_data={concatenate}")
    lerobot_edit(monkeypatch, "--new_repo_id=local/new", f"--new_root={tmp_path / 'new'}", *what, *roots)
    assert_holds(tmp_path / "new", content(source), content(other))
    assert_reads(tmp_path / "new")
    assert_statistics(tmp_path / "new")
    assert len(list((tmp_path / "new/data").rglob("*.parquet"))) == (1 if concatenate == "true" else 2)


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def test_lerobot_modifies_tasks(source, tmp_path, monkeypatch):
    root = copy(source, tmp_path / "copy")
    what = ("--operation.type=modify_tasks", "--operation.new_task=Stack")
    lerobot_edit(monkeypatch, f"--root={root}", "--repo_id=local/x", *what)
    assert_holds(root, content(source), task="Stack")
    assert_reads(root)


def test_lerobot_removes_a_column(source, tmp_path, monkeypatch):
    new = ("--new_repo_id=local/new", f"--new_root={tmp_path / 'new'}")
    what = ("--operation.type=remove_feature", "--operation.feature_names=['observation.volume']")
    lerobot_edit(monkeypatch, f"--root={source}", "--repo_id=local/x", *new, *what)
    expected = content(source)
    del expected["observation.volume"]
    assert_holds(tmp_path / "new", expected)
    assert_reads(tmp_path / "new")


def test_lerobot_recomputes_statistics(source, tmp_path, monkeypatch):
    root = copy(source, tmp_path / "copy")
    stats = json.loads((root / "meta/stats.json").read_text())
    stats[CLOUD]["max"] = [1e9] * 6
    (root / "meta/stats.json").write_text(json.dumps(stats))
    what = ("--operation.type=recompute_stats", "--operation.overwrite=true")
    lerobot_edit(monkeypatch, f"--root={root}", f"--new_root={root}", "--repo_id=local/x", *what)
    assert_statistics(root)
    assert_holds(root, content(source))


def test_edited_datasets_can_be_edited_again(source, other, tmp_path):
    joined = edit_dataset(DatasetEdit((source, other), tmp_path / "joined"))[0]
    again = edit_dataset(DatasetEdit((joined, source), tmp_path / "again", delete=(0, 5), task="Stack"))[0]
    kept = [content(source, [1, 2, 3]), content(other, [0]), content(source)]
    assert_holds(again, *kept, task="Stack")
    assert_reads(again)


# ---- this package's command -----------------------------------------------------------------------------


def run(*arguments) -> str:
    result = CliRunner().invoke(app, ["edit-dataset", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def complaint(*arguments) -> str:
    result = CliRunner().invoke(app, ["edit-dataset", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_dropping_a_bad_demonstration_of_two_recordings(source, other, tmp_path):
    before = content(source)
    run(source, other, "--delete=1,4", f"--root={tmp_path / 'new'}", "--rename-task", "task 1=Pour, then wait = done")
    kept = [content(source, [0, 2, 3]), content(other, [1])]
    for part in kept:
        part["task"] = np.array(
            [{"task 0": "task 0", "task 1": "Pour, then wait = done"}[name] for name in part["task"]]
        )
    assert_holds(tmp_path / "new", *kept)
    assert_reads(tmp_path / "new")
    assert_statistics(tmp_path / "new")
    assert_holds(source, before)
    told = json.loads((tmp_path / "new/meta/provenance.json").read_text())
    assert [origin["name"] for origin in told["edited_from"]] == ["monday", "tuesday"]
    assert told["left_out"] == [1, 4]
    assert str(tmp_path) not in (tmp_path / "new/README.md").read_text() + json.dumps(told)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_folders_in_an_older_recording_are_not_copied(source, tmp_path):
    older = Path(shutil.copytree(source, tmp_path / "older"))
    (older / "meta/provenance.json").write_text(json.dumps({"env": {"assets_dir": "/home/ada/dexart-assets"}}))
    run(older, "--delete=1", f"--root={tmp_path / 'new'}")
    (origin,) = json.loads((tmp_path / "new/meta/provenance.json").read_text())["edited_from"]
    assert origin["provenance"] == {"env": {"assets_dir": "dexart-assets"}}
    assert list(private_passages(tmp_path / "new")) == []


def test_splitting_by_shares(source, tmp_path):
    run(source, "--split", "train=0.75", "--split", "held-out=0.25", f"--root={tmp_path / 'new'}")
    assert_holds(tmp_path / "new/train", content(source, [0, 1, 2]))
    assert_holds(tmp_path / "new/held-out", content(source, [3]))
    assert_reads(tmp_path / "new/held-out")


def test_splitting_what_is_kept_by_episodes(source, tmp_path):
    """Episodes of splits are counted after those that are left out."""
    run(source, "--keep=1-3", "--split=a=0,2", "--split=b=1", "--task=Stack", f"--root={tmp_path / 'new'}")
    assert_holds(tmp_path / "new/a", content(source, [1, 3]), task="Stack")
    assert_holds(tmp_path / "new/b", content(source, [2]), task="Stack")
    assert_reads(tmp_path / "new/a")


def test_statistics_anew(source, tmp_path):
    spoiled = copy(source, tmp_path / "spoiled")
    stats = json.loads((spoiled / "meta/stats.json").read_text())
    stats[CLOUD]["max"] = [1e9] * 6
    (spoiled / "meta/stats.json").write_text(json.dumps(stats))
    run(spoiled, "--recompute-stats", f"--root={tmp_path / 'new'}")
    assert_statistics(tmp_path / "new")
    assert json.loads((spoiled / "meta/stats.json").read_text()) == stats


@pytest.mark.parametrize(
    ("options", "offender"),
    [
        ([], "Nothing to do"),
        (["--delete=4"], "--delete=4: no such episode. Give numbers from 0 to 3"),
        (["--keep=1,9"], "--keep=9: no such episode. Give numbers from 0 to 3"),
        (["--delete=0-3"], "names all 4 episodes"),
        (["--delete=1", "--keep=2"], "cannot be combined. Give one of the two"),
        (["--delete=x"], "'x' is neither an episode nor a range. Write 3,7,10-19"),
        (["--delete=3-1"], "'3-1' is neither an episode nor a range"),
        (["--delete=0-99999999999"], "no dataset has an episode 99999999999"),
        (["--task= "], "--task: must not be empty"),
        (["--rename-task=Pour=Stack"], "--rename-task=Pour: no such task. The tasks are 'task 0', 'task 1'"),
        (["--rename-task=Pour"], "is not OLD=NEW"),
        (["--split=a=0.8", "--split=b=0.3"], "the shares add up to 1.1"),
        (["--split=a=0.8", "--split=b=0"], "Give shares for all splits"),
        (["--split=a=0,1", "--split=b=1"], "--split=b: episode 1 is already in another split"),
        (["--split=a=7"], "--split=a: episode 7 is not in 0 to 3"),
        (["--split=a=0.01"], "--split=a: no episode is left for it"),
        (["--split=../a=0.5"], "'../a' is not a valid folder name"),
        (["--split=a=x.y"], "'x.y' is not a share"),
        (["--split=a=0.5", "--split=a=0.3"], "--split=a: is given twice"),
        (["--rename-task=a=b", "--rename-task=a=c"], "--rename-task=a: is given twice"),
    ],
)
def test_bad_orders_leave_nothing_behind(source, tmp_path, options, offender):
    assert offender in complaint(source, *options, f"--root={tmp_path / 'new'}")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_no_source_is_anything_else(source, tmp_path):
    (tmp_path / "new").mkdir()
    assert "exists already" in complaint(source, "--delete=1", f"--root={tmp_path / 'new'}")
    assert "not a LeRobot dataset, because it has no" in complaint(tmp_path, "--delete=1", f"--root={tmp_path / 'x'}")
    broken = copy(source, tmp_path / "broken")
    (broken / "meta/info.json").write_text("{")
    told = complaint(broken, "--delete=1", f"--root={tmp_path / 'x'}")
    assert f"dataset {broken}: meta/info.json: not valid JSON (JSONDecodeError" in told


def test_no_dataset_is_written_into_a_source_or_where_lerobot_cannot_read(source, tmp_path):
    inside = source / "meta" / "new"
    assert f"--root={inside}: is in {source}, which must not change" in complaint(
        source, "--delete=1", f"--root={inside}"
    )
    assert not inside.exists()
    odd = tmp_path / "new[1]"
    assert "LeRobot cannot read datasets under a path" in complaint(source, "--delete=1", f"--root={odd}")


def test_datasets_of_other_columns_are_not_joined(source, tmp_path):
    columns = {**COLUMNS, CLOUD: {"dtype": "float32", "shape": (9, 6)}}
    fewer = write_dataset(tmp_path / "fewer", columns, (3,))
    told = complaint(source, fewer, f"--root={tmp_path / 'new'}")
    assert f"'{CLOUD}' is float32 (9, 6) in {fewer} and float32 (11, 6) in {source}" in told
    del columns[CLOUD]
    without = write_dataset(tmp_path / "without", columns, (3,))
    assert f"'{CLOUD}' is missing in {without}" in complaint(source, without, f"--root={tmp_path / 'new'}")
    assert not (tmp_path / "new").exists()


def test_a_failure_in_the_middle_leaves_nothing_behind(source, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("the disk has gone")

    monkeypatch.setattr("lerobot_sdm.datasets.edit.recompute_stats", fail)
    with pytest.raises(OSError, match="has gone"):
        edit_dataset(DatasetEdit((source,), tmp_path / "new", delete=(0,), stats=True))
    assert list(tmp_path.iterdir()) == []


def test_a_source_must_be_readable(tmp_path):
    with pytest.raises(InputError, match="not a LeRobot dataset, because it has no"):
        edit_dataset(DatasetEdit((tmp_path / "nowhere",), tmp_path / "new", delete=(0,)))


@pytest.mark.parametrize("edit", [{"delete": (0,)}, {"splits": {"a": 0.5, "b": 0.5}}, {"stats": True}])
def test_statistics_of_columns_that_lerobot_removed_or_added(source, tmp_path, edit):
    """LeRobot's `modify_features` keeps the episodes' statistics of the one and makes none of the other."""
    speed = np.ones((sum(LENGTHS), 2), np.float32)
    changed = modify_features(
        LeRobotDataset("local/monday", root=source),
        add_features={"observation.speed": (speed, {"dtype": "float32", "shape": (2,), "names": None})},
        remove_features=["observation.image", "observation.volume"],
        output_dir=tmp_path / "changed",
        repo_id="local/changed",
    )
    before = content(changed.root)
    folders = edit_dataset(DatasetEdit(sources=(changed.root,), root=tmp_path / "edited", **edit))
    for folder in folders:
        stats = json.loads((folder / "meta" / "stats.json").read_text())
        assert stats["observation.speed"]["mean"] == [1.0, 1.0]
        assert not {"observation.image", "observation.volume"} & stats.keys()
        assert_reads(folder)
    assert content(changed.root).keys() == before.keys()
