"""Many short episodes: nothing is written, read or kept once for each of them that is wanted once for all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from lerobot.datasets import dataset_metadata
from make_stores import stored_columns, write_store
from typer.testing import CliRunner

from lerobot_sdm.cli import main
from lerobot_sdm.datasets.convert import assemble, blocks
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert, make_plan

FRAMES = 4


def store(folder: Path, episodes: int) -> tuple[Path, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    rows = FRAMES * episodes
    arrays = {"action": rng.random((rows, 2)), "state": rng.random((rows, 3), dtype=np.float32)}
    ends = np.arange(1, episodes + 1) * FRAMES
    return write_store(folder / f"{episodes}.zarr", arrays, ends, chunk_rows=1000), arrays


@pytest.mark.parametrize("episodes", [3, 600])
def test_the_number_of_files_parts_and_writes_does_not_grow_with_the_episodes(episodes, tmp_path, monkeypatch):
    writes = []
    for module in (assemble, dataset_metadata):
        for name in ("write_info", "write_stats"):
            original = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *a, original=original: (writes.append(1), original(*a)))
    source, arrays = store(tmp_path, episodes)
    plan = make_plan(ConvertConfig(source, fps=10))
    (block,) = plan.blocks()
    blocks.write_block(plan, block, tmp_path)
    with np.load(blocks.block_folder(tmp_path, block) / blocks.STATS) as stored:
        # Seven columns, ten statistics each, whatever the number of episodes.
        assert len(stored.files) == 7 * 10
        assert all(len(stored[name]) == episodes for name in stored.files)
    described = list(blocks.episode_stats(tmp_path, block))
    assert len(described) == episodes
    last = arrays["state"][-FRAMES:]
    np.testing.assert_array_equal(described[-1]["observation.state"]["max"], last.max(axis=0))
    np.testing.assert_array_equal(described[-1]["index"]["min"], [FRAMES * (episodes - 1)])

    root = convert(ConvertConfig(source, root=tmp_path / "out", fps=10))
    assert len(writes) == 3  # An empty info.json, and both files once.
    data = pq.ParquetFile(root / "data/chunk-000/file-000.parquet")
    assert data.num_row_groups == -(-FRAMES * episodes // blocks.GROUP_ROWS)
    assert pq.ParquetFile(root / "meta/episodes/chunk-000/file-000.parquet").num_row_groups == 1
    np.testing.assert_array_equal(np.array(stored_columns(root)["action"]), arrays["action"])


def test_row_groups_hold_whole_episodes(tmp_path, monkeypatch):
    """Whatever their size: readers that want one episode find it in one place."""
    monkeypatch.setattr(blocks, "GROUP_ROWS", 10)
    source, arrays = store(tmp_path, 7)
    root = convert(ConvertConfig(source, root=tmp_path / "out", fps=10))
    data = pq.ParquetFile(root / "data/chunk-000/file-000.parquet")
    groups = [data.read_row_group(number).column("episode_index").to_pylist() for number in range(data.num_row_groups)]
    assert [sorted(set(group)) for group in groups] == [[0, 1, 2], [3, 4, 5], [6]]
    np.testing.assert_array_equal(np.array(stored_columns(root)["action"]), arrays["action"])


def test_a_block_holds_a_bounded_number_of_episodes(tmp_path):
    """Whose statistics are in memory together; a block of tiny episodes would otherwise hold thousands."""
    source, arrays = store(tmp_path, 7)
    plan = replace(make_plan(ConvertConfig(source, fps=10)), block_episodes=3)
    assert [block.episodes for block in plan.blocks()] == [range(0, 3), range(3, 6), range(6, 7)]
    root = convert(ConvertConfig(source, root=tmp_path / "out", fps=10), plan)
    assert len(list((root / "data/chunk-000").iterdir())) == 3
    np.testing.assert_array_equal(np.array(stored_columns(root)["action"]), arrays["action"])


def test_every_stage_shows_how_far_it_is(tmp_path):
    source, _ = store(tmp_path, 3)
    arguments = ["convert", str(source), "--fps=10", f"--root={tmp_path / 'out'}", "--workers=1"]
    result = CliRunner().invoke(main.app, arguments)
    assert result.exit_code == 0, result.output
    for stage in ("hashing", "checking", "writing", "assembling", "reading back"):
        assert f"{stage}: 100%" in result.output
