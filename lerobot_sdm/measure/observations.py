"""Read observations from a held-out dataset, to compare policies on."""

from pathlib import Path

import numpy as np
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.datasets.factory import resolve_delta_timestamps
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.utils.constants import ACTION
from lerobot.utils.feature_utils import dataset_to_policy_features
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.datasets.damage import INFO, damage_is_an_input_error, open_checked
from lerobot_sdm.datasets.write import VIDEO_BACKEND
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.cloud_view import recorded_view, warn_of_another_view
from lerobot_sdm.processors.sizes import check_sizes, shapes_of

Demonstrated = list[tuple[Tensor, Tensor]]
"""For each observation, demonstrated actions and a mask of the valid ones; see `demonstrated_chunks`."""


def held_out_observations(
    repo_id: str, root: str | Path | None, config: PreTrainedConfig, count: int
) -> dict[str, Tensor]:
    """Read observations evenly spaced over all frames of a dataset.

    Args:
        repo_id: Dataset name, as `--dataset.repo_id`.
        root: Its folder, or None for LeRobot's own cache.
        config: A policy config, whose inputs and observation steps determine what is read.
        count: How many observations; at most as many as there are frames.

    Returns:
        For each input key a tensor (K, n_obs_steps, ...) as stored, not normalized; steps before an
        episode's first frame repeat that frame.

    Raises:
        InputError: If there is no dataset, the count is invalid, or the dataset lacks a policy input or has it in
            another size.
    """
    metadata = _metadata(repo_id, root)
    keys = [_stored_key(key, metadata, repo_id) for key in config.input_features]
    check_sizes(
        shapes_of(dataset_to_policy_features(metadata.features)),
        shapes_of(config.input_features),
        f"the dataset --dataset.repo_id={repo_id}",
        f"the checkpoint at {config.pretrained_path}",
        "Use a dataset like the one it was trained on.",
    )
    warn_of_another_view(getattr(config, "cloud_view", None), recorded_view(metadata.root), f"the dataset {repo_id}")
    stamps = resolve_delta_timestamps(config, metadata) or {}
    items = _items(metadata, repo_id, root, {key: stamps[key] for key in keys}, count)
    return {key: torch.stack([item[key] for item in items]) for key in keys}


def demonstrated_chunks(repo_id: str, root: str | Path | None, config: PreTrainedConfig, count: int) -> Demonstrated:
    """Read the demonstrated actions at the frames of `held_out_observations`, as many as a policy's executed chunk.

    Args:
        repo_id, root, config, count: See `held_out_observations`.

    Returns:
        For each observation the raw actions (n_action_steps, A), and a mask (n_action_steps,) of those within the
        episode: beyond its end the last action is repeated.

    Raises:
        InputError: If the count is invalid.
    """
    metadata = _metadata(repo_id, root)
    stamps = {ACTION: [step / metadata.fps for step in range(config.n_action_steps)]}
    items = _items(metadata, repo_id, root, stamps, count)
    return [(item[ACTION], ~item[f"{ACTION}_is_pad"]) for item in items]


def _metadata(repo_id: str, root: str | Path | None) -> LeRobotDatasetMetadata:
    if root is not None and not (Path(root) / INFO).is_file():  # LeRobot would look on the Hub.
        raise InputError(f"--dataset.root={root}: holds no dataset. Give the folder that has {INFO}.")
    with damage_is_an_input_error(repo_id, root):
        return LeRobotDatasetMetadata(repo_id, root=root)


def _items(
    metadata: LeRobotDatasetMetadata, repo_id: str, root: str | Path | None, stamps: dict[str, list[float]], count: int
) -> list[dict[str, Tensor]]:
    """Evenly spaced frames of a dataset, with the requested steps around them."""
    if not 1 <= count <= metadata.total_frames:
        raise InputError(
            f"--observations={count}: '{repo_id}' has {metadata.total_frames} frames. Give a number from 1 to that."
        )
    indices = np.linspace(0, metadata.total_frames - 1, count).round().astype(int)
    dataset = open_checked(repo_id, root, delta_timestamps=stamps, video_backend=VIDEO_BACKEND)
    return [dataset[int(index)] for index in indices]


def _stored_key(key: str, metadata: LeRobotDatasetMetadata, repo_id: str) -> str:
    """The dataset's name of a policy's input."""
    for candidate in POINT_CLOUD_KEYS if key == POINT_CLOUD else (key,):
        if candidate in metadata.features:
            return candidate
    raise InputError(
        f"--dataset.repo_id: '{repo_id}' has no '{key}', which the policy needs. It has: "
        f"{', '.join(sorted(metadata.features))}. Use a dataset like the one it was trained on."
    )
