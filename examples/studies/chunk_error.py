r"""How far policies' action chunks are from demonstrated ones, on data that they were trained on and on data that not.

    uv run python examples/studies/chunk_error.py --policy=BASE --policy=DIFFTORI \
      --data=data/hammer --data=data/hammer-held-out

Prints the mean squared error over windows of a dataset that hold no padding, in normalized units, a line for each
policy and dataset. The policies must see the same observations and act in chunks of the same length.
"""

import argparse
from pathlib import Path

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.factory import resolve_delta_timestamps
from lerobot.datasets.lerobot_dataset import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.utils.constants import ACTION
from torch import Tensor
from torch.utils.data import default_collate
from tqdm import tqdm

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec


def windows(root: Path, config: PreTrainedConfig, every: int) -> dict[str, Tensor]:
    """Observations with the actions that were demonstrated from then on.

    Args:
        root: Folder of a dataset.
        config: Of a policy: which observations, and how many actions.
        every: Every so many frames.

    Returns:
        Actions (K, n_action_steps, A), and each observation (K, n_obs_steps, ...), as stored.
    """
    name, length = f"local/{root.name}", config.n_action_steps
    metadata = LeRobotDatasetMetadata(name, root=root)
    stamps = resolve_delta_timestamps(config, metadata) | {ACTION: [i / metadata.fps for i in range(length)]}
    dataset = LeRobotDataset(name, root=root, delta_timestamps=stamps)
    found = [dataset[index] for index in tqdm(range(0, len(dataset), every), desc=str(root), leave=False)]
    return default_collate([{key: item[key] for key in stamps} for item in found if not item[f"{ACTION}_is_pad"].any()])


@torch.inference_mode()
def mean_squared_error(loaded: LoadedPolicy, data: dict[str, Tensor]) -> float:
    """Error of a policy's chunks, over `windows` and actions; its own pipelines normalize."""
    torch.manual_seed(0)
    batch = loaded.preprocess(dict(data))
    loaded.policy.reset()
    return (loaded.policy.predict_action_chunk(batch) - batch[ACTION]).square().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", action="append", required=True, help="PATH[,label=NAME][,FIELD=VALUE...]")
    parser.add_argument("--data", action="append", required=True, type=Path, help="folder of a dataset")
    parser.add_argument("--every", type=int, default=4, help="every so many frames")
    options = parser.parse_args()
    torch.set_num_threads(1)
    policies = [load_from_spec(PolicySpec.parse(text)) for text in options.policy]
    for folder in options.data:
        data = windows(folder, policies[0].config, options.every)
        for policy in policies:
            error = mean_squared_error(policy, data)
            print(f"{folder}, {policy.spec.label}: {error:.5f} over {len(data[ACTION])} windows", flush=True)
