"""The interface that lets a policy type be a source for others, and the table of the types that implement it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from lerobot.configs.types import PolicyFeature
from torch import Tensor

from lerobot_sdm.processors.normalization import Stats, prepare_stats
from lerobot_sdm.safe_files.weights import read_weights

ADAPTERS = {
    "diffusion": "lerobot_sdm.policies.source.lerobot_diffusion:LeRobotDiffusionAdapter",
    "dp3": "lerobot_sdm.policies.source.dp3:DP3Adapter",
    "edm": "lerobot_sdm.policies.source.edm:EdmAdapter",
}
"""Policy type -> its adapter, as "module:Class"."""

DIFFUSION_TYPES = ("dp3", "diffusion")
"""Types whose networks denoise under a variance-preserving schedule; each network is a `Backbone`."""


class Adapter(ABC):
    """A policy type as seen by the policies trained from it. Stateless: two sources of a type differ only in their
    configurations. The default implementations suit the types of this package."""

    @abstractmethod
    def network(self, config: Any) -> Any:
        """Build the encoder and denoiser of a configuration, with random weights."""

    def keep_features(self, config: Any, offered: Mapping[str, PolicyFeature]) -> dict[str, PolicyFeature]:
        """Select the observations that a network of this configuration uses.

        Args:
            config: The source's configuration, with its features; may be modified.
            offered: Features of the dataset or environment.

        Raises:
            InputError: A feature is missing.
        """
        config.input_features = dict(offered)
        config.validate_features()
        return config.input_features

    def prepare_stats(self, config: Any, stats: Stats) -> None:
        """Prepare the statistics of a dataset in place, as the policy itself does."""
        prepare_stats(stats, config.cloud_channels, config.depth_to_cloud)

    def weights(self, file: Path) -> dict[str, Tensor]:
        """Read the state dict of `network` from a checkpoint's `model.safetensors`."""
        return read_weights(file)


def adapter_for(kind: str) -> Adapter:
    """The adapter of a policy type that is in `ADAPTERS`."""
    return resolve_name(ADAPTERS[kind])()
