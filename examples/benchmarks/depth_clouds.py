"""How long one cloud takes from the depth images of the cameras in a file.

    python examples/benchmarks/depth_clouds.py                          # a 640 x 480 camera, several strides
    python examples/benchmarks/depth_clouds.py --cameras=cameras.yaml --json=clouds.json

The images are a wavy wall at 0.7 m with the noise of a depth sensor: set the crop so that it holds it.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.errors import refuse_existing
from lerobot_sdm.files import write_json
from lerobot_sdm.measure import tables
from lerobot_sdm.measure.records import machine, versions
from lerobot_sdm.processors.depth_config import IDENTITY, DepthCamera, DepthToCloudConfig, read_depth_config
from lerobot_sdm.processors.depth_to_cloud import DepthToCloud

STRIDES = (1, 2, 4)
DISTANCE, WAVE, NOISE = 0.7, 0.1, 0.002  # meters


@dataclass(frozen=True)
class Row:
    """A camera file, or a stride of the default camera.

    Args:
        cropped: Points after the crop, of which the cloud gets `points`.
        median_ms: Milliseconds for one cloud.
    """

    name: str
    cropped: int
    points: int
    num_points: int
    median_ms: float


def wall(camera: DepthCamera, rng: np.random.Generator) -> NDArray[np.float32]:
    """A depth image (H, W) in the camera's unit."""
    waves = WAVE * np.sin(np.arange(camera.width) / 40)
    depth = DISTANCE + waves + rng.normal(0, NOISE, (camera.height, camera.width))
    return (depth / camera.depth_scale).astype(np.float32)


def measure(name: str, config: DepthToCloudConfig, repeats: int) -> Row:
    """Median over some clouds, after one that compiles."""
    rng = np.random.default_rng(0)
    images = {camera.depth_key: wall(camera, rng) for camera in config.cameras}
    for camera in config.cameras:
        if camera.color_key is not None:
            images[camera.color_key] = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    to_cloud = DepthToCloud(config)
    cloud = to_cloud(images)
    pixels = sum(camera.width * camera.height for camera in config.cameras)
    cropped = DepthToCloud(replace(config, num_points=pixels))(images)  # so many that none is left out
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        to_cloud(images)
        times.append(time.perf_counter() - start)
    counts = (int(found.any(axis=1).sum()) for found in (cropped, cloud))
    return Row(name, *counts, config.num_points, 1000 * float(np.median(times)))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as they are stored, in Markdown."""
    shown = [(row["name"], str(row["cropped"]), f"{row['median_ms']:.0f}") for row in rows]
    return tables.markdown([("", "points after the crop", "milliseconds"), *shown])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cameras", type=Path, help="YAML or JSON file that describes the cameras")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path, help="file for the measurement")
    options = parser.parse_args()
    if options.json is not None:
        refuse_existing("--json", options.json)
    if options.cameras is not None:
        configs = {"as in the file": read_depth_config(options.cameras)}
    else:
        camera = DepthCamera("depth", 640, 480, (600.0, 600.0, 320.0, 240.0), IDENTITY)
        crop = ((-0.3, -0.2, 0.3), (0.3, 0.2, 1.2))
        strides = {f"stride {stride}": replace(camera, stride=stride) for stride in STRIDES}
        configs = {name: DepthToCloudConfig((camera,), crop) for name, camera in strides.items()}
    rows = []
    for name, config in configs.items():
        row = measure(name, config, options.repeats)
        print(f"{name}: {row.median_ms:.1f} ms, {row.points} of {row.num_points} rows are points")
        rows.append(asdict(row))
    if options.json is not None:
        packages = ("lerobot_policy_sdm", "numpy")
        write_json(options.json, {"machine": machine(), "versions": versions(packages), "rows": rows})


if __name__ == "__main__":
    main()
