"""What each type of policy has to tell so that it can be a teacher, and the table of the types that do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import PolicyFeature
from torch import Tensor

from lerobot_sdm.policies.weights import read_weights

if TYPE_CHECKING:
    from lerobot_sdm.policies.backbone import Backbone
    from lerobot_sdm.policies.normalization import Stats

ADAPTERS = {
    "dp3": "lerobot_sdm.teachers.dp3",
    "diffusion": "lerobot_sdm.teachers.lerobot_diffusion",
}
"""Policy type -> module with its `TeacherAdapter`."""


class Adapter(ABC):
    """A type of policy, as distillation sees it. Without state: what differs between two teachers of a type is in
    their configurations."""

    @abstractmethod
    def network(self, config: PreTrainedConfig) -> Backbone:
        """A network of this configuration, with random weights."""

    @abstractmethod
    def keep_features(self, config: PreTrainedConfig, offered: Mapping[str, PolicyFeature]) -> dict[str, PolicyFeature]:
        """The observations that a network of this configuration uses.

        Args:
            config: Of the teacher, with its features.
            offered: What the data set or the environment has.

        Raises:
            InputError: Something is missing.
        """

    @abstractmethod
    def prepare_stats(self, config: PreTrainedConfig, stats: Stats) -> None:
        """Fit the statistics of a data set to the policy, in place, as the policy itself does."""

    def weights(self, file: Path) -> dict[str, Tensor]:
        """The state of `network` from a checkpoint's `model.safetensors`."""
        return read_weights(file)


def adapter_for(kind: str) -> Adapter:
    """The adapter of a policy type that is in `ADAPTERS`."""
    module: Any = import_module(ADAPTERS[kind])
    return module.TeacherAdapter()
