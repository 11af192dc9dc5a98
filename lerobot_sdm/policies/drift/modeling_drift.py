"""Drifting: a network from noise to actions whose samples are moved, in training, toward demonstrations and apart."""

from __future__ import annotations

import math
from typing import Any

import torch
from lerobot.utils.constants import ACTION
from torch import Tensor

from lerobot_sdm.diffusion.drifting import drift, drifting_loss, grouped, spread
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.nets.action_network import ActionNetwork
from lerobot_sdm.policies.chunk_policy import logged
from lerobot_sdm.policies.demonstration_policy import DemonstrationPolicy
from lerobot_sdm.policies.drift.collapse import CollapseWatch
from lerobot_sdm.policies.drift.configuration_drift import DriftConfig


class DriftPolicy(DemonstrationPolicy):
    """Maps noise to a chunk of actions; see `ChunkPolicy` for the arguments."""

    config_class = DriftConfig
    name = "drift"
    model: DriftModel

    def __init__(self, config: DriftConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.collapse_watch = CollapseWatch()

    def build_model(self, config: DriftConfig) -> DriftModel:
        return DriftModel(config)

    def actions_from_noise(self, model: DriftModel, noise: Tensor, cond: Tensor) -> Tensor:
        return clip_sample(model.generate(noise, cond), self.config.clip_sample_range)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Drifting loss of several samples per observation, after a phase of squared error if there is one.

        It is nearly constant; what tells of progress is logged: `sample_variance` and `centroid_error` of the samples
        of an observation, and `force_<temperature>`, how strongly each temperature pulls.
        """
        config, model, actions = self.config, self.model, batch[ACTION].float()
        generator, real = self.training_noise_generator(actions.device), self.real_steps(batch)
        shape = len(actions) * config.samples, *model.action_shape
        noise = torch.randn(shape, generator=generator, device=actions.device)
        with self.repeatable_global_noise(actions.device):
            cond = model.encode(batch).repeat_interleave(config.samples, dim=0)
            samples = model.generate(noise, cond).float().unflatten(0, (-1, config.samples))
        if real is not None:  # Both are zero beyond the episode, so nothing pulls there.
            samples, actions = samples * real[:, None, :, None], actions * real.unsqueeze(-1)
        own, wanted = grouped(samples, config.group), grouped(actions.unsqueeze(1), config.group)
        with torch.autocast(actions.device.type, enabled=False):
            found = drift(own.detach(), wanted, config.temperatures, config.affinity_floor)
            share = self.drifting_share()
            loss = share * drifting_loss(own, found)
            if share < 1:
                loss = loss + (1 - share) * (samples - actions.unsqueeze(1)).square().mean()
        variance, error = spread(samples.detach(), actions)
        forces = found.forces.mean(0)
        told = logged(
            {"sample_variance": variance, "centroid_error": error}
            | {f"force_{temperature:g}": value for temperature, value in zip(config.temperatures, forces, strict=True)}
        )
        if share > 0.5 and self.training:
            self.collapse_watch.look(told["sample_variance"], told["centroid_error"])
        return self.loss_guard.watch(loss, self.train_step), told

    def drifting_share(self) -> float:
        """Weight of the drifting loss at this step, 0 ... 1; the squared error has the rest."""
        if self.config.mse_steps == 0:
            return 1.0
        return 1 / (1 + math.exp(min(700.0, (self.config.mse_steps - self.train_step) / self.config.mse_width)))


class DriftModel(ActionNetwork):
    """Observation encoder and generator; see `ActionNetwork` for arguments and attributes."""

    config: DriftConfig

    def generate(self, noise: Tensor, cond: Tensor) -> Tensor:
        """Chunks (B, T, A) from noise (B, T, A) under cond (B, F). The network's time is always 0, a learned bias."""
        time = torch.full(noise.shape[:1], 0.0, device=noise.device)
        generated = self.denoiser(noise, time, global_cond=cond)
        return noise + generated if self.config.residual_noise else generated
