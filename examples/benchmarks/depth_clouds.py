"""How long one cloud takes from the depth images of the cameras in a file.

    python examples/benchmarks/depth_clouds.py                          # a 640 x 480 camera, several strides
    python examples/benchmarks/depth_clouds.py --cameras=cameras.yaml

The images are a wavy wall at 0.7 m with the noise of a depth sensor: set the crop so that it holds it.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.processors.depth_config import IDENTITY, DepthCamera, DepthToCloudConfig, read_depth_config
from lerobot_sdm.processors.depth_to_cloud import DepthToCloud

STRIDES = (1, 2, 4)
DISTANCE, WAVE, NOISE = 0.7, 0.1, 0.002  # meters


def wall(camera: DepthCamera, rng: np.random.Generator) -> NDArray[np.float32]:
    """A depth image (H, W) in the camera's unit."""
    waves = WAVE * np.sin(np.arange(camera.width) / 40)
    depth = DISTANCE + waves + rng.normal(0, NOISE, (camera.height, camera.width))
    return (depth / camera.depth_scale).astype(np.float32)


def measure(config: DepthToCloudConfig, repeats: int) -> tuple[float, int]:
    """Median milliseconds for one cloud, and how many of its rows are points."""
    rng = np.random.default_rng(0)
    images = {camera.depth_key: wall(camera, rng) for camera in config.cameras}
    for camera in config.cameras:
        if camera.color_key is not None:
            images[camera.color_key] = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    to_cloud = DepthToCloud(config)
    cloud = to_cloud(images)  # compiles
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        cloud = to_cloud(images)
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times)), int(cloud.any(axis=1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cameras", type=Path, help="YAML or JSON file that describes the cameras")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    if options.cameras is not None:
        configs = {"as in the file": read_depth_config(options.cameras)}
    else:
        camera = DepthCamera("depth", 640, 480, (600.0, 600.0, 320.0, 240.0), IDENTITY)
        crop = ((-0.3, -0.2, 0.3), (0.3, 0.2, 1.2))
        strides = {f"stride {stride}": replace(camera, stride=stride) for stride in STRIDES}
        configs = {name: DepthToCloudConfig((camera,), crop) for name, camera in strides.items()}
    for name, config in configs.items():
        milliseconds, points = measure(config, options.repeats)
        print(f"{name}: {milliseconds:.1f} ms, {points} of {config.num_points} rows are points")


if __name__ == "__main__":
    main()
