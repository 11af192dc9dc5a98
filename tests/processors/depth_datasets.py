"""Writes datasets of depth images as `lerobot-record` leaves them behind."""

from pathlib import Path

from depth_world import COLOR_KEY, DEPTH_KEY, SIZE
from lerobot.datasets.lerobot_dataset import LeRobotDataset

REPO_ID = "local/depth"
EPISODES, FRAMES = 2, 6


def write_depth_dataset(root: Path, episodes: list[list[dict]], video: bool) -> Path:
    """As LeRobot's robots record it: depth in uint16 millimeters, as lossless video or as TIFF images."""
    kind = "video" if video else "image"
    names = ["height", "width", "channels"]
    features = {
        "observation.state": {"dtype": "float32", "shape": (2,), "names": ["x.pos", "y.pos"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["x.pos", "y.pos"]},
        COLOR_KEY: {"dtype": kind, "shape": (SIZE, SIZE, 3), "names": names},
        DEPTH_KEY: {"dtype": kind, "shape": (SIZE, SIZE, 1), "names": names, "info": {"is_depth_map": True}},
    }
    dataset = LeRobotDataset.create(REPO_ID, 10, features, root=root, use_videos=video, video_backend="pyav")
    for frames in episodes:
        for frame in frames:
            dataset.add_frame({**frame, "task": "push"})
        dataset.save_episode()
    dataset.finalize()
    return root
