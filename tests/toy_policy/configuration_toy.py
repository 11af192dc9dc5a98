"""Configuration of the toy policy."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "toy")
@dataclass
class ToyConfig(ChunkConfig):
    """Regression of action chunks. See `ChunkConfig` for inherited fields.

    Args:
        hidden_dim: Width of the hidden layer.
    """

    hidden_dim: int = 16
