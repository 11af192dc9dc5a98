"""What DexArt's camera sees of each task, and the cloud made of it: the pictures of docs/dexart.md.

python examples/dexart_pictures.py docs/dexart.png
"""

import sys
from pathlib import Path

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np

import lerobot_sdm  # noqa: F401 - registers the environments
from lerobot_sdm.envs.dexart.imagination import POINTS
from lerobot_sdm.envs.dexart.tasks import DEXART_TASKS

SIZE = 256


def main(path: Path) -> None:
    """One row of pictures, one of clouds, a column for each task."""
    figure = plt.figure(figsize=(12, 6), dpi=75)
    for column, task in enumerate(DEXART_TASKS, 1):
        show = {"camera_size": SIZE, "pixels": True, "use_color": True, "imagin_robot": "joined", "cloud_noise": 0.0}
        env = gym.make(f"lerobot_sdm/DexArt-{task}-v0", disable_env_checker=True, **show)
        observation, _ = env.reset(seed=1)
        env.close()
        picture = figure.add_subplot(2, len(DEXART_TASKS), column)
        picture.imshow(observation["pixels"])
        picture.set_title(task)
        picture.axis("off")
        axes = figure.add_subplot(2, len(DEXART_TASKS), len(DEXART_TASKS) + column, projection="3d")
        hand, scene = np.split(observation["point_cloud"], [POINTS])
        axes.scatter(*scene[:, :3].T, c=scene[:, 3:] / 255, s=2)
        axes.scatter(*hand[:, :3].T, c="tab:orange", s=3)
        axes.set_aspect("equal")
        # As from behind the camera, whose picture has the robot's forward to the left.
        axes.view_init(elev=20, azim=75)
        axes.tick_params(labelsize=6)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
