"""The model card of a policy that LeRobot uploads at the end of training, before any evaluation."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import draccus
from huggingface_hub import ModelCard
from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.cards.model_card import DEFAULT_LICENSE, CardFacts, Teacher, model_card
from lerobot_sdm.cards.privacy import hub_name, make_public, public_policy_config
from lerobot_sdm.nets.trimmed_convolution import whole_size

if TYPE_CHECKING:
    from lerobot.configs.train import TrainPipelineConfig
    from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
    from torch import nn

PACKAGES = ("lerobot_policy_sdm", "lerobot", "torch")


class PublicTrainConfig:
    """A training configuration that saves itself without the paths of this machine; LeRobot's in all else."""

    def __init__(self, config: TrainPipelineConfig):
        self._config = config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write `train_config.json`."""
        self._config.save_pretrained(save_directory)
        make_public(Path(save_directory))


def training_card(
    config: PreTrainedConfig,
    model: nn.Module,
    train: TrainPipelineConfig | PublicTrainConfig | None = None,
    dataset: LeRobotDatasetMetadata | None = None,
    repo_id: str | None = None,
) -> ModelCard:
    """Card of a policy that is being uploaded from memory.

    Args:
        train: Configuration of its training, if it was just trained.
        repo_id: Target repo; None for the one in the configuration.
    """
    policy = public_policy_config(draccus.encode(config, PreTrainedConfig))
    return model_card(
        CardFacts(
            repo_id=repo_id or config.repo_id,
            policy=policy,
            license=config.license or DEFAULT_LICENSE,
            parameters=whole_size(model),
            train=None if train is None else {key: getattr(train, key) for key in ("steps", "batch_size", "seed")},
            dataset=None if dataset is None else dataset_facts(dataset),
            teacher=teacher_of(policy),
            versions={name: version(name) for name in PACKAGES},
            tags=config.tags or (),
        )
    )


def teacher_of(policy: dict[str, Any]) -> Teacher | None:
    """A student's teacher, from its public configuration."""
    if policy.get("teacher_sha256") is None:
        return None
    return Teacher(hub_name(policy.get("teacher_path")), policy.get("teacher_revision"), policy["teacher_sha256"])


def dataset_facts(dataset: LeRobotDatasetMetadata) -> dict[str, Any]:
    """Facts on the training data for a card."""
    return {
        "repo_id": dataset.repo_id,
        "episodes": dataset.total_episodes,
        "frames": dataset.total_frames,
        "fps": dataset.fps,
        "tasks": [str(task) for task in dataset.tasks.index],
    }
