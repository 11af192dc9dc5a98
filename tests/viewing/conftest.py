"""A small recording with everything there is to see, as a dataset and as a store."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from plate import EPISODES, FPS, FRAMES, POINTS, values


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("view") / "plate"
    features = {
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "grip"]},
        "observation.point_cloud": {"dtype": "float32", "shape": (POINTS, 6), "names": None},
        "observation.image": {"dtype": "image", "shape": (16, 24, 3), "names": ["height", "width", "channels"]},
        "action": {"dtype": "float32", "shape": (15,), "names": None},
        "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    }
    written = LeRobotDataset.create("local/plate", FPS, features, root=root, use_videos=False)
    for episode in range(EPISODES):
        for frame in range(FRAMES):
            v = values(episode, frame)
            written.add_frame(
                {
                    "observation.state": v["state"],
                    "observation.point_cloud": v["cloud"],
                    "observation.image": v["image"],
                    "action": v["action"],
                    "next.success": np.array([frame > 5]),
                    "task": "slide",
                }
            )
        written.save_episode()
    written.finalize()
    return root


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("view") / "plate.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    rows = [values(episode, frame) for episode in range(EPISODES) for frame in range(FRAMES)]
    names = {"cloud": "point_cloud", "image": "img", "state": "state", "action": "action"}
    for key, name in names.items():
        group.create_array(f"data/{name}", data=np.stack([row[key] for row in rows]))
    depth = np.linspace(0.5, 2.0, 16 * 24, dtype=np.float32).reshape(16, 24)
    depth[0, 0] = np.inf
    group.create_array("data/depth", data=np.repeat(depth[None], len(rows), axis=0))
    group.create_array("meta/episode_ends", data=np.arange(1, EPISODES + 1) * FRAMES)
    return path
