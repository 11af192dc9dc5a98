"""A dataset of depth images as `lerobot-record` leaves them behind, and the file that describes its camera."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from depth_datasets import EPISODES, FRAMES, write_depth_dataset
from depth_world import COLOR_KEY, CROP, DEPTH_KEY, DepthWorld


@pytest.fixture(scope="session")
def episodes() -> list[list[dict[str, np.ndarray]]]:
    """What the camera saw, frame by frame: the ball moves along a line."""
    world = DepthWorld(length=FRAMES)
    recorded = []
    for seed in range(EPISODES):
        observation, _ = world.reset(seed=seed)
        frames = []
        for _ in range(FRAMES):
            action = np.float32([0.5, -0.25])
            frames.append(
                {
                    "observation.state": observation["agent_pos"],
                    DEPTH_KEY: observation["depth"],
                    COLOR_KEY: observation["pixels"],
                    "action": action,
                }
            )
            observation, *_ = world.step(action)
        recorded.append(frames)
    world.close()
    return recorded


@pytest.fixture(scope="session")
def depth_dataset(tmp_path_factory, episodes) -> Path:
    return write_depth_dataset(tmp_path_factory.mktemp("depth") / "video", episodes, video=True)


@pytest.fixture(scope="session")
def cameras_file(tmp_path_factory) -> Path:
    world = DepthWorld()
    fields = {"cameras": [world.calibration(color_key=COLOR_KEY)], "crop": CROP, "num_points": 128}
    world.close()
    file = tmp_path_factory.mktemp("cameras") / "cameras.yaml"
    file.write_text(yaml.safe_dump(fields))
    return file
