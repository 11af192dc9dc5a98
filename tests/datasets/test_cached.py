"""The cached reader gives what LeRobot's reader gives, in every key, value, shape and dtype."""

import functools
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot.datasets import EpisodeAwareSampler
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from make_datasets import FPS, write_dataset
from torch.utils.data import DataLoader, Subset, default_collate

from lerobot_sdm.datasets import cached as cached_module
from lerobot_sdm.datasets import memory
from lerobot_sdm.datasets.cached import CachedLeRobotDataset
from lerobot_sdm.errors import InputError

COLUMNS = {
    "observation.state": {"dtype": "float32", "shape": (9,)},
    "observation.point_cloud": {"dtype": "float32", "shape": (16, 3)},
    "observation.half": {"dtype": "float16", "shape": (8, 3)},
    "observation.volume": {"dtype": "float64", "shape": (2, 3, 4)},
    "observation.image": {"dtype": "image", "shape": (12, 10, 3)},
    "observation.depth": {"dtype": "image", "shape": (12, 10, 1), "info": {"is_depth_map": True}},
    "action": {"dtype": "float32", "shape": (4,)},
    "next.reward": {"dtype": "float64", "shape": (1,)},
    "next.success": {"dtype": "bool", "shape": (1,)},
    "mask": {"dtype": "bool", "shape": (3,)},
    "count": {"dtype": "int32", "shape": (1,)},
    "bytes": {"dtype": "uint8", "shape": (2,)},
    "wide": {"dtype": "uint16", "shape": (2,)},
    "note": {"dtype": "string", "shape": (1,)},
}
PLAIN = {key: COLUMNS[key] for key in ("observation.state", "observation.point_cloud", "action")}
OBSERVED = [-1 / FPS, 0.0]
WINDOWS = {key: OBSERVED for key in COLUMNS if key.startswith("observation.")} | {
    "action": [step / FPS for step in range(-1, 15)],
    "next.success": [0.0, 1 / FPS],
    "count": [-2 / FPS, 2 / FPS],
}
WARN = cached_module._warn_of_slow_workers
EPISODES = [None, [0, 2], [2, 1]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "all_kinds", COLUMNS)


@pytest.fixture(scope="module")
def plain_root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "plain", PLAIN)


@functools.cache
def both(root, episodes=None, windows=True) -> tuple[LeRobotDataset, CachedLeRobotDataset]:
    options = {
        "root": root,
        "episodes": list(episodes) if episodes else None,
        "delta_timestamps": {key: WINDOWS[key] for key in WINDOWS if root.name == "all_kinds" or key in PLAIN}
        if windows
        else None,
        "video_backend": "pyav",
    }
    stock, cached = LeRobotDataset("local/test", **options), CachedLeRobotDataset("local/test", **options)
    assert cached.is_cached
    return stock, cached


def assert_same(given_item: dict, expected: dict) -> None:
    assert list(given_item) == list(expected)
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert given_item[key].dtype == value.dtype, key
            assert given_item[key].shape == value.shape, key
            assert torch.equal(given_item[key], value), key
        else:
            assert given_item[key] == value, key


@pytest.mark.parametrize("windows", [True, False])
@pytest.mark.parametrize("episodes", EPISODES)
def test_every_item_equals_the_stock_readers(root, episodes, windows):
    stock, cached = both(root, tuple(episodes) if episodes else None, windows)
    assert len(cached) == len(stock) == sum([7, 2, 12][episode] for episode in episodes or range(3))
    for index in range(len(stock)):
        assert_same(cached[index], stock[index])
    assert_same(cached[-1], stock[-1])
    for sliced, expected in zip(cached[3:6], stock[3:6], strict=True):
        assert_same(sliced, expected)


def test_padding_repeats_the_edge_frames(plain_root):
    _, cached = both(plain_root)
    last_of_first = cached[6]
    assert last_of_first["action_is_pad"].tolist() == [False, False] + 14 * [True]
    assert torch.equal(last_of_first["action"][2:], last_of_first["action"][1].expand(14, 4))
    first_of_second = cached[7]
    assert first_of_second["observation.state_is_pad"].tolist() == [True, False]
    assert torch.equal(first_of_second["observation.state"][0], first_of_second["observation.state"][1])


@settings(max_examples=15, deadline=None)
@given(indices=st.lists(st.integers(-21, 20), min_size=1, max_size=6))
def test_batches_equal_collated_stock_items(root, indices):
    stock, cached = both(root)
    assert_same(default_collate(cached.__getitems__(indices)), default_collate([stock[i] for i in indices]))


@pytest.mark.parametrize("index", [21, -22])
def test_positions_outside_raise(root, index):
    _, cached = both(root)
    with pytest.raises(IndexError):
        cached[index]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_data_loader_gives_the_same_epoch(plain_root, workers):
    stock, cached = both(plain_root, (0, 2))
    batches = []
    for dataset, num_workers in ((stock, 0), (cached, workers)):
        sampler = EpisodeAwareSampler(
            dataset.meta.episodes["dataset_from_index"],
            dataset.meta.episodes["dataset_to_index"],
            episode_indices_to_use=dataset.episodes,
            shuffle=True,
            seed=1,
            absolute_to_relative_idx=dataset.absolute_to_relative_idx,
        )
        context = None
        if num_workers:  # They import LeRobot once, and get the dataset as a file of pickle like any new process.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["lerobot_sdm.datasets.cached"])
        loader = DataLoader(dataset, 8, sampler=sampler, num_workers=num_workers, multiprocessing_context=context)
        batches.append(list(loader))
    expected, given_batches = batches
    assert [len(batch["task"]) for batch in given_batches] == [8, 8, 3]
    for batch, wanted in zip(given_batches, expected, strict=True):
        assert_same(batch, wanted)


def test_other_collate_functions_see_ordinary_items(plain_root):
    stock, cached = both(plain_root)
    loader = DataLoader(Subset(cached, [4, 9, 8]), batch_size=2, collate_fn=list)
    items = [item for batch in loader for item in batch]
    for item, index in zip(items, (4, 9, 8), strict=True):
        assert_same(item, stock[index])
    # Items that were put into an ordinary list are collated as ordinary items.
    assert default_collate([items[0], items[2]])["index"].tolist() == [4, 8]


def test_survives_pickling(plain_root):
    _, cached = both(plain_root)
    again = pickle.loads(pickle.dumps(cached))
    assert again.is_cached
    assert_same(again[8], cached[8])


def test_workers_get_no_copies_if_shared_memory_is_too_small(plain_root, monkeypatch, tmp_path, caplog):
    """Each would take as much memory as the dataset; they read the same items with LeRobot's reader."""
    monkeypatch.setattr(memory, "SHARED_MEMORY", tmp_path / "absent")
    monkeypatch.setattr(cached_module, "_warn_of_slow_workers", functools.cache(WARN.__wrapped__))
    _, cached = both(plain_root)
    with caplog.at_level("WARNING", logger="lerobot_sdm"):
        pickled = [pickle.dumps(cached) for _ in range(4)]
    assert [record.message.count("--num_workers=0") for record in caplog.records] == [1]
    again = pickle.loads(pickled[0])
    assert cached.is_cached
    assert not again.is_cached
    assert again._strings is again._first_row is None
    assert_same(again[8], cached[8])
    assert_same(default_collate(again.__getitems__([8, 3])), default_collate(cached.__getitems__([8, 3])))


def test_datasets_beyond_the_budget_are_read_by_lerobot(plain_root, monkeypatch, caplog):
    # 21 frames of 9 + 48 + 4 floats, and the five bookkeeping columns LeRobot adds.
    needed = 21 * (61 * 4 + 4 + 4 * 8)
    monkeypatch.setenv(memory.BUDGET_VARIABLE, str((needed - 1) / 1e9))
    with caplog.at_level("INFO", logger="lerobot_sdm"):
        dataset = CachedLeRobotDataset("local/test", root=plain_root, video_backend="pyav")
    assert not dataset.is_cached
    assert memory.BUDGET_VARIABLE in caplog.text
    stock = LeRobotDataset("local/test", root=plain_root, video_backend="pyav")
    assert_same(dataset[5], stock[5])
    assert_same(default_collate(dataset.__getitems__([5, 6])), default_collate([stock[5], stock[6]]))
    monkeypatch.setenv(memory.BUDGET_VARIABLE, str(needed / 1e9))
    assert CachedLeRobotDataset("local/test", root=plain_root, video_backend="pyav").is_cached


def test_image_transforms_go_through_the_stock_reader(root):
    def darken(image: torch.Tensor) -> torch.Tensor:
        return image / 2

    dataset = CachedLeRobotDataset("local/test", root=root, video_backend="pyav")
    plain = dataset[4]["observation.image"]
    dataset.set_image_transforms(darken)
    assert torch.equal(dataset[4]["observation.image"], plain / 2)
    dataset.clear_image_transforms()
    assert torch.equal(dataset[4]["observation.image"], plain)


def test_images_that_are_transformed_from_the_start_are_not_cached(root, caplog):
    with caplog.at_level("INFO", logger="lerobot_sdm"):
        dataset = CachedLeRobotDataset("local/test", root=root, video_backend="pyav", image_transforms=torch.neg)
    assert not dataset.is_cached
    assert "its images are transformed at random" in caplog.text
    plain = LeRobotDataset("local/test", root=root, video_backend="pyav")
    assert torch.equal(dataset[4]["observation.image"], -plain[4]["observation.image"])


def test_videos_are_left_to_lerobot(tmp_path, caplog):
    features = PLAIN | {"observation.image": {"dtype": "video", "shape": (64, 64, 3)}}
    features["observation.image"]["names"] = ["height", "width", "channels"]
    root = write_dataset(tmp_path / "video", features, lengths=(4,))
    with caplog.at_level("INFO", logger="lerobot_sdm"):
        dataset = CachedLeRobotDataset("local/test", root=root, video_backend="pyav")
    assert not dataset.is_cached
    assert "observation.image is stored as video" in caplog.text
    assert dataset[2]["observation.image"].shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("column", "value"), [("observation.point_cloud", np.nan), ("action", np.inf), ("observation.state", -np.inf)]
)
def test_frames_that_are_not_finite_are_refused(tmp_path, column, value):
    def spoil(episode, frame, values):
        if episode == 2 and frame >= 3:
            values[column][..., 1] = value

    root = write_dataset(tmp_path / "bad", PLAIN, spoil=spoil)
    with pytest.raises(InputError, match=f"'{column}'.* in 9 of 21 frames, first in episode 2, frame 3"):
        CachedLeRobotDataset("local/test", root=root, video_backend="pyav")
    # The healthy episodes can still be trained on.
    healthy = CachedLeRobotDataset("local/test", root=root, episodes=[0, 1], video_backend="pyav")
    assert len(healthy) == 9


def test_rewards_need_not_be_finite(tmp_path):
    def spoil(episode, frame, values):
        values["next.reward"][:] = np.nan

    columns = PLAIN | {"next.reward": {"dtype": "float32", "shape": (1,)}}
    root = write_dataset(tmp_path / "rewards", columns, lengths=(3,), spoil=spoil)
    assert CachedLeRobotDataset("local/test", root=root, video_backend="pyav").is_cached
