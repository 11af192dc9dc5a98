"""What each type of policy has to tell so that others can be made from its network, and the table of these types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from lerobot.configs.types import PolicyFeature
from torch import Tensor

from lerobot_sdm.processors.normalization import Stats, prepare_stats
from lerobot_sdm.safe_files.weights import read_weights

ADAPTERS = {
    "diffusion": "lerobot_sdm.policies.source.lerobot_diffusion",
    "dp3": "lerobot_sdm.policies.source.dp3",
    "edm": "lerobot_sdm.policies.source.edm",
}
"""Policy type -> module with its `SourceAdapter`."""

DIFFUSION_TYPES = ("dp3", "diffusion")
"""Those whose networks denoise under a variance-preserving schedule, each a `Backbone`."""


class Adapter(ABC):
    """A type of policy, as the policies made from it see it. Without state: what differs between two sources of a type
    is in their configurations. What is not abstract is right for the types of this package."""

    @abstractmethod
    def network(self, config: Any) -> Any:
        """Encoder and denoiser of this configuration, with random weights."""

    def keep_features(self, config: Any, offered: Mapping[str, PolicyFeature]) -> dict[str, PolicyFeature]:
        """The observations that a network of this configuration uses.

        Args:
            config: Of the source, with its features; may be changed.
            offered: What the dataset or the environment has.

        Raises:
            InputError: Something is missing.
        """
        config.input_features = dict(offered)
        config.validate_features()
        return config.input_features

    def prepare_stats(self, config: Any, stats: Stats) -> None:
        """Fit the statistics of a dataset to the policy, in place, as the policy itself does."""
        prepare_stats(stats, config.cloud_channels, config.depth_to_cloud)

    def weights(self, file: Path) -> dict[str, Tensor]:
        """The state of `network` from a checkpoint's `model.safetensors`."""
        return read_weights(file)


def adapter_for(kind: str) -> Adapter:
    """The adapter of a policy type that is in `ADAPTERS`."""
    module: Any = import_module(ADAPTERS[kind])
    return module.SourceAdapter()
