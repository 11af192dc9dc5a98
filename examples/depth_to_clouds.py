"""From a LeRobot dataset of depth images to one of point clouds, which trains many times faster.

    python examples/depth_to_clouds.py --repo-id=me/stack-cups --root=data/stack-cups --cameras=cameras.yaml \
        --output=data/stack-cups-clouds

The cameras file is the one that `lerobot-train --policy.type=dp3 --policy.depth_to_cloud=cameras.yaml` reads, so that
the policy trained on the result sees the same clouds on the robot. docs/depth_cameras.md explains it.
"""

import argparse
import json
import shutil
from importlib.metadata import version
from pathlib import Path

import draccus
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import create_lerobot_dataset_card
from lerobot.utils.constants import DEFAULT_FEATURES
from lerobot.utils.utils import SuppressProgressBars
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.depth_config import DepthToCloudConfig, read_depth_config
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep


class CloudFrames(Dataset):
    """Frames of a depth dataset with the cloud in place of the depth images; made in the loader's processes.

    Args:
        source: The depth dataset.
        config: Its cameras.
        kept: Columns to keep as they are; images among them as uint8 (H, W, 3).
    """

    def __init__(self, source: LeRobotDataset, config: DepthToCloudConfig, kept: list[str]):
        self.source = source
        self.step = DepthToPointCloudStep.from_config(config)
        self.kept = kept

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict:
        item = self.source[index]
        frame = {key: self._value(key, item[key]) for key in self.kept}
        frame[POINT_CLOUD] = self.step.observation(item)[POINT_CLOUD].numpy()
        return {**frame, "task": item["task"], "episode": int(item["episode_index"])}

    def _value(self, key: str, value):
        feature = self.source.features[key]
        if feature["dtype"] in ("image", "video"):
            return (value.permute(1, 2, 0) * 255).round().byte().numpy()
        return value if feature["dtype"] == "string" else value.numpy().reshape(feature["shape"])


def convert(
    source: LeRobotDataset, config: DepthToCloudConfig, output: Path, repo_id: str, images: bool, workers: int
) -> None:
    """Write the dataset of clouds; it appears under `output` whole or not at all.

    Args:
        source: The depth dataset.
        config: Its cameras.
        output: Folder to create.
        repo_id: Name of the new dataset.
        images: Whether to keep color images.
        workers: Processes that decode images and sample points.

    Raises:
        InputError: The folder exists, the dataset has clouds already, or its images do not fit the cameras.
    """
    if output.exists():
        raise InputError(f"--output={output}: exists already. Choose another folder, or remove it first.")
    if POINT_CLOUD in source.features:
        raise InputError(f"--repo-id={source.repo_id}: has '{POINT_CLOUD}' already.")
    config.check_shapes({key: tuple(feature["shape"]) for key, feature in source.features.items()})

    dropped = set(source.meta.depth_keys) | set(DEFAULT_FEATURES)
    if not images:
        dropped |= set(source.meta.camera_keys)
    kept = [key for key in source.features if key not in dropped]
    features = {key: {**source.features[key], "info": None} for key in kept}
    for feature in features.values():
        feature["dtype"] = feature["dtype"].replace("video", "image")
    shape = (config.num_points, config.channels)
    features[POINT_CLOUD] = {"dtype": "float32", "shape": shape, "names": None}

    unfinished = output.with_name(f".{output.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    target = LeRobotDataset.create(
        repo_id, source.fps, features, root=unfinished, robot_type=source.meta.robot_type, use_videos=False
    )
    frames = DataLoader(CloudFrames(source, config, kept), batch_size=None, num_workers=workers)
    episode = None
    for frame in tqdm(frames, total=len(source), unit="frame"):
        current = frame.pop("episode")
        if episode is not None and current != episode:
            _save_episode(target)
        episode = current
        target.add_frame({key: value if isinstance(value, str) else np.asarray(value) for key, value in frame.items()})
    _save_episode(target)
    target.finalize()
    facts = {
        "source": {"repo_id": source.repo_id, "episodes": source.num_episodes, "frames": source.num_frames},
        "depth_to_cloud": draccus.encode(config),
        "versions": {name: version(name) for name in ("lerobot_policy_sdm", "lerobot", "numpy")},
    }
    (unfinished / "meta/provenance.json").write_text(json.dumps(facts, indent=2) + "\n")
    create_lerobot_dataset_card(
        tags=["robotics", "point-cloud"],
        dataset_info=target.meta.info,
        repo_id=repo_id,
        dataset_description=f"Point clouds of `{source.repo_id}`, {shape[0]} points of {shape[1]} channels in meters, "
        "made of its depth images. Cameras, frame and crop: `meta/provenance.json`.",
    ).save(unfinished / "README.md")
    unfinished.rename(output)


def _save_episode(dataset: LeRobotDataset) -> None:
    with SuppressProgressBars():
        dataset.save_episode()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repo-id", required=True, help="dataset with depth images")
    parser.add_argument("--root", type=Path, help="its folder; LeRobot's cache if absent")
    parser.add_argument("--cameras", type=Path, required=True, help="YAML or JSON file that describes the cameras")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new dataset")
    parser.add_argument("--output-repo-id", help="its name; the old one's with -clouds if absent")
    parser.add_argument("--images", action="store_true", help="keep color images")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode and sample")
    options = parser.parse_args(arguments)
    try:
        config = read_depth_config(options.cameras)
        source = LeRobotDataset(options.repo_id, root=options.root, video_backend="pyav")
        name = options.output_repo_id or f"{options.repo_id}-clouds"
        convert(source, config, options.output, name, options.images, options.workers)
    except InputError as error:
        parser.exit(2, f"Error: {error}\n")
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
