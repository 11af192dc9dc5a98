"""The toy policy: one hidden layer from the encoded observations to a chunk of actions."""

import torch
from lerobot.utils.constants import ACTION
from torch import Tensor, nn

from lerobot_sdm.nets.frames import FrameEncoder
from lerobot_sdm.nets.observation_encoder import ObservationEncoder
from lerobot_sdm.policies.demonstration_policy import DemonstrationPolicy
from toy_policy.configuration_toy import ToyConfig


class ToyPolicy(DemonstrationPolicy):
    """Regresses a chunk of actions."""

    config_class = ToyConfig
    name = "toy"

    def build_model(self, config: ToyConfig) -> "ToyModel":
        return ToyModel(config)

    def actions_from_noise(self, model: "ToyModel", noise: Tensor, cond: Tensor) -> Tensor:
        return model(cond)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the chunk (B, horizon, A)."""
        error = (self.model(self.model.encode(batch)) - batch[ACTION]).square()
        return self.loss_guard.watch(error.mean(), self.train_step), {}


class ToyModel(FrameEncoder):
    """Encoder and one hidden layer."""

    def __init__(self, config: ToyConfig):
        super().__init__()
        self.config, self.n_obs_steps = config, config.n_obs_steps
        self.action_shape = (config.horizon, config.action_feature.shape[0])
        self.obs_encoder = ObservationEncoder(config)
        sizes = self.obs_encoder.out_dim * config.n_obs_steps, config.hidden_dim, torch.Size(self.action_shape).numel()
        self.unet = nn.Sequential(nn.Linear(*sizes[:2]), nn.ReLU(), nn.Linear(*sizes[1:]))

    def encode_frames(self, batch: dict[str, Tensor]) -> Tensor:
        return self.obs_encoder.encode_frames(batch)

    def forward(self, cond: Tensor) -> Tensor:
        return self.unet(cond).unflatten(1, self.action_shape)
