"""A reward model of action chunks: predicts the environment's reward after the executed part of a chunk."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.types import FeatureType
from lerobot.rewards.pretrained import PreTrainedRewardModel
from lerobot.utils.constants import ACTION, REWARD
from lerobot.utils.feature_utils import dataset_to_policy_features
from torch import Tensor, nn

from lerobot_sdm.cards.training_card import PublicTrainConfig
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.policies.chunk_policy import logged
from lerobot_sdm.policies.guards import LossGuard, check_weights
from lerobot_sdm.policies.range_watch import watch_source
from lerobot_sdm.policies.source.adapters import adapter_for
from lerobot_sdm.policies.source.description import configuration, describe
from lerobot_sdm.policies.source.source_policy import check_same_features
from lerobot_sdm.processors.incoming import with_vector_axes
from lerobot_sdm.processors.normalization import Stats
from lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward import ChunkRewardConfig
from lerobot_sdm.safe_files.weights import load_strictly, read_weights


class ChunkRewardRewardModel(PreTrainedRewardModel):
    """An ensemble of small networks over a policy's observation features and its executed actions.

    LeRobot finds the class by its name, which is derived from the configuration's plus `RewardModel`.

    Args:
        config: Configuration.
        dataset_stats: Statistics of the training data, from which rewards get their scale.
        dataset_meta: Metadata of the training data. LeRobot passes it only to a model that will be trained.
    """

    config_class = ChunkRewardConfig
    name = "chunk_reward"

    def __init__(
        self, config: ChunkRewardConfig, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any
    ):
        super().__init__(config)
        base = config.base
        if dataset_meta is not None:
            check_dataset(config, dataset_meta.features)
        starts = dataset_meta is not None and config.pretrained_path is None
        if starts and describe(config.source.config) != config.network:
            raise InputError(
                f"--reward_model.base_path={config.base_path}: is another policy than the one that "
                "reward_model.network describes, which an earlier training has filled in. Remove network from the "
                "configuration."
            )
        network = config.source.load(config.device) if starts else adapter_for(base.type).network(base)
        network.set_submodule(network.denoiser_name, nn.Identity())  # It only encodes observations.
        self.encoder: Backbone = network.requires_grad_(False).eval()
        action_size = config.n_action_steps * base.action_feature.shape[0]
        sizes = (self.encoder.cond_dim + action_size, *config.hidden_dims)
        self.members = nn.ModuleList(_mlp(sizes) for _ in range(config.ensemble))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("centre", torch.zeros(()))  # The name is in published checkpoints.
        self.loss_guard = LossGuard()
        self.train_step = 0  # Since training began or resumed: checkpoints hold no step.
        if starts and dataset_stats is not None:
            features = {**config.input_features, **config.output_features}
            watch_source(config.source, features, dataset_stats, dataset_meta)
            self._take_scale(dataset_stats)

    def _take_scale(self, stats: Stats) -> None:
        """Set the scale of the labels to about one. Changes are already centered."""
        mean, std = (torch.as_tensor(stats[REWARD][name], dtype=torch.float32).squeeze() for name in ("mean", "std"))
        self.scale.copy_(std.clamp_min(1e-6))
        if self.config.target == "reward":
            self.centre.copy_(mean)

    def train(self, mode: bool = True) -> ChunkRewardRewardModel:
        """The policy's encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    # ---- what is predicted -----------------------------------------------------------------------------

    @torch.no_grad()
    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """The policy's condition vectors (B, F) of preprocessed observations, each (B, n_obs_steps, ...)."""
        return self.encoder.encode(with_vector_axes(batch, self.config.input_features))

    def predict(self, features: Tensor, actions: Tensor) -> Tensor:
        """Each member's prediction (members, B), in the environment's unit, from `features` (B, F) and executed actions
        (B, n_action_steps, A), normalized as the policy normalizes them."""
        if actions.shape[1] != self.config.n_action_steps:
            raise InputError(
                f"action: {tuple(actions.shape)} is not (B, {self.config.n_action_steps}, A), the executed part of a "
                "chunk that this reward model was trained on."
            )
        inputs = torch.cat([features, actions.flatten(1)], dim=1)
        return torch.stack([member(inputs).squeeze(1) for member in self.members]) * self.scale + self.centre

    @torch.no_grad()
    def compute_reward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean prediction of the members (B,), for a preprocessed batch with `action` (B, n_action_steps, A)."""
        return self.predict(self.features(batch), batch[ACTION]).mean(dim=0)

    def labels(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Labels (B,), and their mask (B,) bool: an episode's first frame has no previous reward, so no change.

        The batch has `next.reward` (B, 2) and `next.reward_is_pad` (B, 2), at `reward_delta_indices`.
        """
        before, behind = batch[REWARD].float().unbind(dim=1)
        if self.config.target == "reward":
            return behind, torch.ones_like(behind, dtype=torch.bool)
        return behind - before, ~batch[f"{REWARD}_is_pad"][:, 0]

    # ---- training --------------------------------------------------------------------------------------

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the members, in units of the rewards' standard deviation; to log, in the environment's
        unit, the error of the members' mean and their spread."""
        label, known = self.labels(batch)
        values = self.predict(self.features(batch), batch[ACTION])
        weight = known.float() / known.sum().clamp_min(1)
        loss = (((values - label) / self.scale).square() * weight).sum(dim=1).mean()
        mean, spread = values.detach().mean(dim=0), values.detach().std(dim=0, correction=0)
        rmse = ((mean - label).square() * weight).sum().sqrt()
        loss = self.loss_guard.watch(loss, self.train_step)
        return loss, logged({"rmse": rmse, "spread": (spread * weight).sum()})

    def update(self) -> None:
        """LeRobot calls this after each optimizer step."""
        self.train_step += 1

    def get_optim_params(self) -> Any:
        return self.members.parameters()

    # ---- checkpoints -----------------------------------------------------------------------------------

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write a checkpoint, unless the last loss or a weight is not finite."""
        self.loss_guard.check()
        check_weights(self.state_dict())
        super()._save_pretrained(save_directory)

    @classmethod
    def _load_as_safetensor(
        cls, model: ChunkRewardRewardModel, model_file: str, map_location: str, strict: bool
    ) -> ChunkRewardRewardModel:
        """Always strict, while LeRobot only warns of missing weights."""
        load_strictly(model, read_weights(model_file), model_file)
        return model

    def push_model_to_hub(self, cfg: Any, *_: Any, **__: Any) -> None:
        """Upload at the end of training; LeRobot 0.6.1 passes more arguments than its own method accepts."""
        super().push_model_to_hub(PublicTrainConfig(cfg))


def check_dataset(config: ChunkRewardConfig, features: dict[str, Any]) -> None:
    """Refuse a dataset, by LeRobot's description of its columns, from which this reward cannot be learned.

    Raises:
        InputError: The dataset has no reward, or its observations or actions do not match the policy's.
    """
    if REWARD not in features:
        raise InputError(
            f"--dataset: has no column '{REWARD}' ({', '.join(features)}). A reward model learns from rollouts with "
            "their rewards: lerobot-sdm collect-rollouts."
        )
    offered = dataset_to_policy_features(features)
    actions = {key: feature for key, feature in offered.items() if feature.type is FeatureType.ACTION}
    seen = {key: feature for key, feature in offered.items() if key not in actions}
    base = configuration(config.network, config.device)  # A copy, which the adapter may modify.
    kept = adapter_for(base.type).keep_features(base, seen)
    check_same_features(config.base, {**kept, **actions}, "base", config.base_path)


def _mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """An MLP with smooth activations, since its gradient is used."""
    layers: list[nn.Module] = []
    for before, behind in pairwise(sizes):
        layers += [nn.Linear(before, behind), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
