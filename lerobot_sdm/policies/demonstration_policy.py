"""Base class of policies that learn from demonstrations alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import nn

from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.optimizer_settings import one_group


class DemonstrationPolicy(ChunkPolicy):
    """An action-chunk denoiser trained end to end from demonstrations, with one optimizer; see `ChunkPolicy` for the
    arguments. Subclasses define `build_model` and the abstract methods of `ChunkPolicy`."""

    # LeRobot requires both of every subclass, even of an abstract one.
    config_class = ChunkConfig
    name = "demonstration_policy"

    def __init__(self, config: Any, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.model = self.build_model(config)
        self.start_average()

    @abstractmethod
    def build_model(self, config: Any) -> nn.Module:
        """Build the encoder and denoiser of a configuration, with random weights."""

    def get_optim_params(self) -> Any:
        return one_group(self.model.parameters())
