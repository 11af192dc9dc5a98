"""Base class of policies that learn from demonstrations alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import nn

from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.optimizer_settings import one_group
from lerobot_sdm.processors.normalization import Stats, prepare_stats


class DemonstrationPolicy(ChunkPolicy):
    """An action-chunk denoiser trained end to end from demonstrations, with one optimizer.

    Subclasses define `build_model` and the abstract methods of `ChunkPolicy`.

    Args:
        config: Policy configuration, with input and output features set.
        dataset_stats: Statistics of the training data, fitted in place; see `prepare_stats`.
        dataset_meta: Metadata of the training data. LeRobot passes it only to a policy that will be trained.
    """

    # LeRobot requires both of every subclass, even of an abstract one.
    config_class = ChunkConfig
    name = "demonstration_policy"

    def __init__(self, config: Any, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any):
        config.validate_features()
        super().__init__(config, training=dataset_meta is not None)
        if dataset_stats is not None:
            prepare_stats(dataset_stats, config.cloud_channels, config.depth_to_cloud)
        self.model = self.build_model(config)
        self.start_average()

    @abstractmethod
    def build_model(self, config: Any) -> nn.Module:
        """Build the encoder and denoiser of a configuration, with random weights."""

    def get_optim_params(self) -> Any:
        return one_group(self.model.parameters())
