"""Base class of policies' networks: observation encoder and denoising network, without a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from lerobot_sdm.nets.backbones import denoising_network
from lerobot_sdm.nets.denoising import DenoisingNetwork
from lerobot_sdm.nets.frames import FrameEncoder
from lerobot_sdm.nets.observation_encoder import ObservationEncoder


class ActionNetwork(FrameEncoder):
    """Observation encoder, and a network from a chunk, one or two times and a condition to a chunk.

    Args:
        config: Configuration with input and output features.
        build: Builds the network from the configuration and the size of its condition.

    Its `denoiser` is called as `denoiser(z (B, T, A), time (B,), global_cond=(B, F))`, or with a second time after the
    first; see `DenoisingNetwork`.

    Attributes:
        action_shape: (T, A) of a chunk.
        cond_dim: F, the size of an encoded observation.
    """

    def __init__(self, config: Any, build: Callable[[Any, int], DenoisingNetwork] = denoising_network):
        super().__init__()
        self.config = config
        self.n_obs_steps = config.n_obs_steps
        self.obs_encoder = ObservationEncoder(config)
        self.cond_dim = self.obs_encoder.out_dim * config.n_obs_steps
        self.action_shape = (config.horizon, config.action_feature.shape[0])
        self.denoiser_name = config.backbone
        self.add_module(config.backbone, build(config, self.cond_dim))

    def encode_frames(self, batch: dict[str, Tensor]) -> Tensor:
        return self.obs_encoder.encode_frames(batch)
