"""Small LeRobot datasets that tests write for themselves."""

from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

FPS = 80


def write_dataset(
    root: Path, columns: dict[str, dict], lengths: tuple[int, ...] = (7, 2, 12), seed: int = 0, spoil=None
) -> Path:
    """Write episodes of the given lengths with random values in the given columns.

    Args:
        root: Folder to create.
        columns: Column -> LeRobot feature (dtype and shape; names are filled in).
        lengths: Frames of each episode.
        seed: Of the random values.
        spoil: Called as spoil(episode, frame, values) to change a frame before it is written.
    """
    rng = np.random.default_rng(seed)
    features = {key: {"names": None, **feature} for key, feature in columns.items()}
    has_video = any(feature["dtype"] == "video" for feature in columns.values())
    dataset = LeRobotDataset.create("local/test", FPS, features, root=root, use_videos=has_video)
    for episode, length in enumerate(lengths):
        for frame in range(length):
            values = {key: _random(rng, column["dtype"], column["shape"]) for key, column in columns.items()}
            if spoil is not None:
                spoil(episode, frame, values)
            dataset.add_frame({**values, "task": f"task {episode % 2}"})
        dataset.save_episode()
    dataset.finalize()
    return root


def _random(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray | str:
    if dtype == "string":
        return f"text {rng.integers(100)}"
    if dtype == "image" and shape[-1] == 1:
        return rng.uniform(0.1, 5, shape).astype(np.float32)
    if dtype in ("image", "video"):
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if dtype == "bool":
        return rng.random(shape) > 0.5
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
