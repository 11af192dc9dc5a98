r"""How far policies' action chunks are from demonstrated ones, on data that they were trained on and on data that not.

    uv run python examples/studies/chunk_error.py --policy=BASE --policy=DIFFTORI \
      --data=data/hammer --data=data/hammer-held-out

Prints the mean squared error over all windows of a data set that hold no padding, in normalised units, a line for each
policy and data set. The policies must act in chunks of the same length.
"""

import argparse
from pathlib import Path

import torch
from lerobot.datasets.factory import resolve_delta_timestamps
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.utils.constants import ACTION
from tqdm import tqdm

import lerobot_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.evaluation.contenders import Contender, LoadedPolicy, load_contender

BATCH = 64


@torch.inference_mode()
def mean_squared_error(loaded: LoadedPolicy, root: Path) -> tuple[float, int]:
    """Error of a policy's chunks on a data set.

    Args:
        loaded: The policy; its own pipelines normalise.
        root: Folder of the data set.

    Returns:
        Mean over windows and actions, and how many windows.
    """
    name, length = f"local/{root.name}", loaded.config.n_action_steps
    metadata = LeRobotDatasetMetadata(name, root=root)
    stamps = resolve_delta_timestamps(loaded.config, metadata) | {ACTION: [i / metadata.fps for i in range(length)]}
    dataset = LeRobotDataset(name, root=root, delta_timestamps=stamps)
    windows = (dataset[index] for index in tqdm(range(len(dataset)), desc=str(root), leave=False))
    whole = [window for window in windows if not window[f"{ACTION}_is_pad"].any()]
    torch.manual_seed(0)
    total = 0.0
    for first in range(0, len(whole), BATCH):
        part = whole[first : first + BATCH]
        keys = [ACTION, *(key for key in stamps if key != ACTION)]
        batch = loaded.preprocess({key: torch.stack([window[key] for window in part]) for key in keys})
        loaded.policy.reset()
        error = loaded.policy.predict_action_chunk(batch) - batch[ACTION]
        total += error.square().mean(dim=(1, 2)).sum().item()
    return total / len(whole), len(whole)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", action="append", required=True, help="PATH[,label=NAME][,FIELD=VALUE...]")
    parser.add_argument("--data", action="append", required=True, type=Path, help="folder of a data set")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for text in options.policy:
        policy = load_contender(Contender.parse(text))
        for folder in options.data:
            error, windows = mean_squared_error(policy, folder)
            print(f"{policy.contender.label}: {error:.5f} on {windows} windows of {folder}")
