"""A diffusion policy in the EDM formulation (Karras et al. 2022); the teacher of Consistency Policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from lerobot.utils.constants import ACTION
from torch import Tensor

from lerobot_sdm.diffusion.karras import (
    NoiseLevels,
    add_noise,
    denoise,
    denoising_loss,
    log_normal_sigmas,
    sample,
    sampler_sigmas,
)
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.nets.action_network import ActionNetwork
from lerobot_sdm.nets.backbones import denoising_network
from lerobot_sdm.nets.denoising import DenoisingNetwork
from lerobot_sdm.policies.demonstration_policy import DemonstrationPolicy
from lerobot_sdm.policies.edm.configuration_edm import EdmConfig


class EdmPolicy(DemonstrationPolicy):
    """Denoises a chunk of actions, conditioned on point clouds, images or keypoints and on the robot's state."""

    config_class = EdmConfig
    name = "edm"
    model: EdmModel

    def build_model(self, config: EdmConfig) -> EdmModel:
        return EdmModel(config)

    def actions_from_noise(self, model: EdmModel, noise: Tensor, cond: Tensor) -> Tensor:
        config = self.config
        sigmas = sampler_sigmas(config.num_inference_steps, model.levels).to(noise.device)
        actions = sample(
            lambda x, sigma: clip_sample(model.denoise(x, sigma, cond), config.clip_sample_range),
            config.initial_std * noise,
            sigmas,
            config.sampler,
        )
        return clip_sample(actions, config.clip_sample_range)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Weighted error of the denoised actions at log-normally distributed noise (Karras et al. 2022, table 1)."""
        config, actions = self.config, batch[ACTION]
        noise, generator = self.training_noise(actions)
        sigma = log_normal_sigmas(len(actions), config.sigma_log_mean, config.sigma_log_std, generator)
        with self.repeatable_global_noise(actions.device):
            cond = self.model.encode(batch)
            denoised = self.model.denoise(add_noise(actions, noise, sigma), sigma, cond)
        real = self.real_steps(batch)
        loss = denoising_loss(denoised, actions, sigma, self.model.levels, config.loss_norm, real)
        return self.loss_guard.watch(loss, self.train_step), {}


class KarrasModel(ActionNetwork):
    """An `ActionNetwork` with Karras et al.'s noise levels; see there for arguments."""

    config: EdmConfig

    def __init__(self, config: EdmConfig, build: Callable[[EdmConfig, int], DenoisingNetwork] = denoising_network):
        super().__init__(config, build)
        cast(DenoisingNetwork, self.denoiser).add_dropout(config.dropout_rate, config.mid_dropout_rate)
        self.levels = NoiseLevels(
            config.sigma_min, config.sigma_max, config.rho, config.bins, config.sigma_data, config.boundary
        )


class EdmModel(KarrasModel):
    """A denoiser of action sequences."""

    def denoise(self, x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
        """D: actions (B, T, A) with noise sigma (B,) under a condition (B, F) -> clean actions (B, T, A)."""
        return denoise(lambda inner, c_noise: self.denoiser(inner, c_noise, global_cond=cond), x, sigma, self.levels)
