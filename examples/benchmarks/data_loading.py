"""How fast training samples are read: LeRobot's reader, the in-memory reader, and a bare numpy gather.

    python examples/benchmarks/data_loading.py                  # a synthetic dataset
    python examples/benchmarks/data_loading.py --root=data/drawer-open

A sample is what DP3 trains on: two observations with their clouds and `horizon` actions. The numpy gather copies
the same three columns and nothing else; no reader that returns copies can be faster.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.utils.utils import SuppressProgressBars
from torch.utils.data import DataLoader

from lerobot_sdm.datasets.cached import CachedLeRobotDataset

FPS = 80
SHAPES = {"observation.state": (9,), "observation.point_cloud": (512, 3), "action": (4,)}


def write_synthetic(root: Path, episodes: int = 10, frames: int = 200) -> None:
    """Random values in the shapes of a MetaWorld recording."""
    features = {key: {"dtype": "float32", "shape": shape, "names": None} for key, shape in SHAPES.items()}
    dataset = LeRobotDataset.create("local/synthetic", FPS, features, root=root, use_videos=False)
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        for _ in range(frames):
            frame = {key: rng.standard_normal(shape, dtype=np.float32) for key, shape in SHAPES.items()}
            dataset.add_frame({**frame, "task": "none"})
        with SuppressProgressBars():
            dataset.save_episode()
    dataset.finalize()


def windows(horizon: int, fps: int) -> dict[str, list[float]]:
    """Time windows of DP3's samples: two observations, then actions from the first of them on."""
    observed = [-1 / fps, 0.0]
    actions = [step / fps for step in range(-1, horizon - 1)]
    return {"observation.state": observed, "observation.point_cloud": observed, "action": actions}


def batches_of(dataset: LeRobotDataset, batch_size: int) -> Iterator[int]:
    """Sizes of the batches of endless epochs through PyTorch's DataLoader."""
    while True:
        for batch in DataLoader(dataset, batch_size, shuffle=True):
            yield len(batch["index"])


def gathers_of(
    dataset: LeRobotDataset, horizon: int, batch_size: int, keys: Iterable[str] = tuple(SHAPES)
) -> Iterator[int]:
    """Sizes of batches gathered from plain arrays; windows that leave the dataset repeat its edge."""
    arrays = {key: np.asarray(dataset.hf_dataset.with_format("numpy")[key][:]) for key in keys}
    steps = {key: np.arange(-1, horizon - 1 if key == "action" else 1) for key in keys}
    rng = np.random.default_rng(0)
    while True:
        rows = rng.integers(0, len(dataset), batch_size)
        for key, array in arrays.items():
            array[np.clip(rows[:, None] + steps[key], 0, len(dataset) - 1)]
        yield batch_size


def samples_per_second(open_stream: Callable[[], Iterator[int]], seconds: float) -> float:
    """Speed of a stream of batches after its first one."""
    stream = open_stream()
    next(stream)
    started, samples = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < seconds:
        samples += next(stream)
    return samples / passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a recorded dataset; a synthetic one unless given")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    options = parser.parse_args()

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, one loading process")
    print(", ".join(f"{name} {version(name)}" for name in ("lerobot", "torch", "numpy", "datasets")))
    with tempfile.TemporaryDirectory() as scratch:
        root = options.root
        if root is None:
            root = Path(scratch) / "synthetic"
            write_synthetic(root)
        fps = LeRobotDatasetMetadata("local/benchmark", root=root).fps
        print(f"{'horizon':>7} {'LeRobot':>12} {'in memory':>12} {'numpy':>12}   samples per second")
        for horizon in (4, 16):
            opened = {"root": root, "delta_timestamps": windows(horizon, fps), "video_backend": "pyav"}
            stock = LeRobotDataset("local/benchmark", **opened)
            cached = CachedLeRobotDataset("local/benchmark", **opened)
            streams = (
                lambda dataset=stock: batches_of(dataset, options.batch_size),
                lambda dataset=cached: batches_of(dataset, options.batch_size),
                lambda dataset=stock, length=horizon: gathers_of(dataset, length, options.batch_size),
            )
            speeds = [samples_per_second(stream, options.seconds) for stream in streams]
            print(f"{horizon:>7} " + " ".join(f"{speed:>12,.0f}" for speed in speeds))


if __name__ == "__main__":
    main()
