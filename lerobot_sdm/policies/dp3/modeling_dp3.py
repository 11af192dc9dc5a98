"""3D Diffusion Policy (Ze et al. 2024): denoise action chunks conditioned on point clouds. Teacher of the students."""

from __future__ import annotations

import torch
from lerobot.utils.constants import ACTION
from torch import Tensor

from lerobot_sdm.diffusion.schedules import alphas_cumprod, ddim_timesteps
from lerobot_sdm.nets.action_network import ActionNetwork
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.policies.demonstration_policy import DemonstrationPolicy
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config


class DP3Policy(DemonstrationPolicy):
    """Denoises a chunk of actions, conditioned on the last point clouds and robot states."""

    config_class = DP3Config
    name = "dp3"
    model: DP3Model

    def build_model(self, config: DP3Config) -> DP3Model:
        return DP3Model(config)

    def actions_from_noise(self, model: DP3Model, noise: Tensor, cond: Tensor) -> Tensor:
        return model.sample(noise, cond)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the predicted clean actions at random noise levels (x_0-prediction)."""
        actions = batch[ACTION]
        noise, generator = self.training_noise(actions)
        t = torch.randint(self.config.num_train_timesteps, (len(actions),), generator=generator, device=actions.device)
        error = self.model.denoising_loss(actions, noise, t, self.model.encode(batch))
        real = self.real_steps(batch)
        if real is not None:
            error = error[real]
        return self.loss_guard.watch(error.mean(), self.train_step), {}


class DP3Model(ActionNetwork, Backbone):
    """Observation encoder and denoising network; predicts clean actions x_0. See the bases for attributes."""

    def __init__(self, config: DP3Config):
        super().__init__(config)
        self.prediction_type = "sample"
        self.clip_range = config.clip_sample_range
        schedule = alphas_cumprod(config.num_train_timesteps, config.beta_schedule, config.beta_start, config.beta_end)
        self.register_buffer("alphas_cumprod", schedule, persistent=False)

    def sampler_timesteps(self, steps: int | None = None) -> list[int]:
        config = self.config
        return ddim_timesteps(
            config.num_train_timesteps,
            steps or config.num_inference_steps,
            config.timestep_spacing,
            config.inference_start_timestep,
        )
