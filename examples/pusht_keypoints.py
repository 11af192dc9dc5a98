"""The block's keypoints for a converted Push-T dataset, as LeRobot's Push-T environment shows them to a policy.

    lerobot-sdm convert pusht_cchi_v7_replay.zarr --repo-id local/pusht --root data/pusht
    python examples/pusht_keypoints.py --repo-id local/pusht --root data/pusht --output data/pusht-keypoints

The demonstrations store nine keypoints that Diffusion Policy spread over the block; gym-pusht's environment shows the
eight corners of the block's two bars. So policies for that environment are trained on `observation.environment_state`,
16 numbers that gym-pusht's own functions make of the stored pose of the block. docs/pusht.md explains it.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pymunk
from gym_pusht.envs.pusht import PushTEnv
from lerobot.datasets.dataset_tools import modify_features, recompute_stats
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.utils.constants import OBS_ENV_STATE
from numpy.typing import NDArray
from tqdm import tqdm

from lerobot_sdm.errors import InputError

FULL_STATE = "full_state"  # What `lerobot-sdm convert` calls the store's array `state`.
# LeRobot's tools make no statistics of a dataset that has a column of matrices (0.6.1), so the nine keypoints go.
STORED_KEYPOINTS = ("keypoint",)
BLOCK_POSE = slice(2, 5)  # Of (agent x, agent y, block x, block y, angle); lengths in pixels of a 512 x 512 table.
FEATURE = {"dtype": "float32", "shape": (16,), "names": None}


def block_keypoints(poses: NDArray[np.floating]) -> NDArray[np.float32]:
    """Corners of the block's two bars for each pose of the block.

    Args:
        poses: (F, 3) position x, y in pixels and angle in radians.

    Returns:
        (F, 16): x0, y0, x1, y1, ... in pixels, in the order of gym-pusht's `environment_state`.
    """
    block, shapes = PushTEnv.add_tee(pymunk.Space(), (0, 0), 0)
    keypoints = np.empty((len(poses), 16), dtype=np.float32)
    for row, (x, y, angle) in enumerate(tqdm(poses.tolist(), desc="Keypoints", unit="frame")):
        # In this order: turning moves the position, because the block turns about its center of gravity.
        block.angle = angle
        block.position = x, y
        keypoints[row] = PushTEnv.get_keypoints(shapes).flatten()
    return keypoints


def add_keypoints(source: LeRobotDataset, output: Path, repo_id: str, images: bool) -> None:
    """Write a copy of a converted dataset with the keypoints; it appears under `output` whole or not at all.

    Args:
        source: The converted dataset.
        output: Folder to create.
        repo_id: Name of the new dataset.
        images: Whether to keep its pictures, which LeRobot's `diffusion` would then look at too.

    Raises:
        InputError: The folder exists, or the dataset is no converted Push-T or has keypoints already.
    """
    if output.exists():
        raise InputError(f"--output={output}: exists already. Choose another folder, or remove it first.")
    if tuple(source.features.get(FULL_STATE, {}).get("shape", ())) != (5,):
        raise InputError(
            f"--repo-id={source.repo_id}: has no '{FULL_STATE}' of 5 numbers. Convert a Push-T store first: "
            "lerobot-sdm convert pusht_cchi_v7_replay.zarr"
        )
    if OBS_ENV_STATE in source.features:
        raise InputError(f"--repo-id={source.repo_id}: has '{OBS_ENV_STATE}' already.")

    dropped = [key for key in STORED_KEYPOINTS if key in source.features] + ([] if images else source.meta.camera_keys)
    states = np.asarray(source.hf_dataset.with_format("numpy")[FULL_STATE])
    unfinished = output.with_name(f".{output.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    target = modify_features(
        source,
        add_features={OBS_ENV_STATE: (block_keypoints(states[:, BLOCK_POSE]), FEATURE)},
        remove_features=dropped or None,
        output_dir=unfinished,
        repo_id=repo_id,
    )
    recompute_stats(target)  # LeRobot keeps the statistics of the old columns and makes none of new ones.
    unfinished.rename(output)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repo-id", required=True, help="converted Push-T dataset")
    parser.add_argument("--root", type=Path, help="its folder; LeRobot's cache if absent")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new dataset")
    parser.add_argument("--output-repo-id", help="its name; the old one's with -keypoints if absent")
    parser.add_argument("--images", action="store_true", help="keep the pictures")
    options = parser.parse_args(arguments)
    try:
        source = LeRobotDataset(options.repo_id, root=options.root, video_backend="pyav")
        name = options.output_repo_id or f"{options.repo_id}-keypoints"
        add_keypoints(source, options.output, name, options.images)
    except InputError as error:
        parser.exit(2, f"Error: {error}\n")
    print(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
