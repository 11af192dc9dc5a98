"""ManiCM (Lu et al. 2024): consistency distillation of a diffusion policy, for one or a few network evaluations.

The *teacher* is frozen and steps along its own trajectories. The *student* maps every point of a trajectory to its
clean end, so two neighboring points must give the same result. The *target*, an EMA of the student, provides it.
"""

from __future__ import annotations

from typing import Any

import torch
from lerobot.utils.constants import ACTION
from torch import Tensor

from lerobot_sdm.diffusion.consistency_distillation import (
    consistency_distillation_loss,
    consistency_sample,
    inference_timesteps,
)
from lerobot_sdm.diffusion.schedules import ddim_timesteps
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.policies.manicm.configuration_manicm import ManiCMConfig
from lerobot_sdm.policies.targeted_policy import TargetedPolicy


class ManiCMPolicy(TargetedPolicy):
    """Consistency student of a diffusion policy; see `ChunkPolicy` for the arguments."""

    config_class = ManiCMConfig
    name = "manicm"

    @property
    def timesteps(self) -> list[int]:
        """Timesteps that are trained, from the noisiest down."""
        config = self.config
        return ddim_timesteps(
            self.model.num_train_timesteps, config.solver_levels, "trailing", start=config.start_timestep
        )

    def actions_from_noise(self, model: Backbone, noise: Tensor, cond: Tensor) -> Tensor:
        timesteps = inference_timesteps(self.timesteps, self.config.num_inference_steps)
        return consistency_sample(
            lambda x, t: model.denoise(x, t, cond).x0,
            noise,
            timesteps,
            model.alphas_cumprod,
            model.clip_range,
        )

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The student must agree with its target one teacher solver step further."""
        actions, config, model = batch[ACTION], self.config, self.model
        noise, generator = self.training_noise(actions)
        level = torch.randint(config.solver_levels, actions.shape[:1], generator=generator, device=actions.device)
        cond = self.encode_for_training(batch)
        loss = consistency_distillation_loss(
            student=lambda x, t: model.denoise(x, t, cond).x0,
            target=lambda x, t: model.denoise(x, t, cond, self.target).x0,
            teacher=lambda x, t: self.teacher.denoise(x, t, cond),
            x0=actions,
            noise=noise,
            level=level,
            timesteps=self.timesteps,
            alphas_cumprod=model.alphas_cumprod,
            clip=model.clip_range,
            delta=config.loss_delta,
            solver_noise=config.solver_noise,
        )
        return self.loss_guard.watch(loss, self.train_step), {}

    def get_optim_params(self) -> list[dict[str, Any]]:
        return [self.parameter_group(self.model.denoiser, "student")]
