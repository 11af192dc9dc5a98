"""Mean flow (Geng et al. 2025): learn jumps from noise to actions, from demonstrations alone."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from lerobot.utils.constants import ACTION
from torch import Tensor

from lerobot_sdm.diffusion.flow_matching import chunk_means, interpolate
from lerobot_sdm.diffusion.forward_derivative import forward_derivative
from lerobot_sdm.diffusion.mean_flow import (
    adaptive_loss,
    direction_loss,
    dispersive_loss,
    draw_time_pairs,
    guided_velocity,
    jump_sample,
    mean_flow_target,
)
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.errors import InputError, first_line
from lerobot_sdm.nets.action_network import ActionNetwork
from lerobot_sdm.nets.backbones import two_times_network
from lerobot_sdm.nets.denoising import DenoisingNetwork, tapped
from lerobot_sdm.policies.chunk_policy import logged
from lerobot_sdm.policies.demonstration_policy import DemonstrationPolicy
from lerobot_sdm.policies.guards import check_full_precision, check_no_autocast
from lerobot_sdm.policies.meanflow.configuration_meanflow import MeanFlowConfig


class MeanFlowPolicy(DemonstrationPolicy):
    """Jumps from noise to a chunk of actions; see `ChunkPolicy` for the arguments.

    Raises:
        InputError: It will be trained in mixed precision, or its network has no forward derivative.
    """

    config_class = MeanFlowConfig
    name = "meanflow"
    model: MeanFlowModel

    def __init__(self, config: MeanFlowConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        if self.built_for_training:
            check_full_precision(self.name, config.use_amp, config.device)
            if config.derivative == "forward":
                check_derivative(self.model)

    def build_model(self, config: MeanFlowConfig) -> MeanFlowModel:
        return MeanFlowModel(config)

    def actions_from_noise(self, model: MeanFlowModel, noise: Tensor, cond: Tensor) -> Tensor:
        actions = jump_sample(partial(model.average_velocity, cond=cond), noise, self.config.num_inference_steps)
        return clip_sample(actions, self.config.clip_sample_range)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Error of the average velocity between random times, adaptively weighted, and further losses.

        Each part is logged: `velocity_error` without adaptive weights, which falls as learning goes on, and the losses
        that are enabled.
        """
        config, model, actions = self.config, self.model, batch[ACTION]
        check_no_autocast(self.name, actions.device)
        (noise, generator), real = self.training_noise(actions), self.real_steps(batch)
        times = draw_time_pairs(
            len(actions),
            config.time_sampler,
            generator,
            config.flow_ratio,
            config.endpoint_fraction,
            config.logit_mean,
            config.logit_std,
        )
        z, straight = interpolate(actions, noise, times.t), noise - actions
        with self.repeatable_global_noise(actions.device):
            cond = model.encode(batch)
        layers = cast(DenoisingNetwork, model.denoiser).early_layers() if config.dispersive_weight > 0 else []
        with tapped(layers) as features:
            u = model.average_velocity(z, times.r, times.t, cond)
        known, network = cond.detach(), model.average_velocity
        velocity = guided_velocity(network, z, straight, times.t, known, config.guidance)
        target = mean_flow_target(network, z, velocity, times, known, config.derivative, config.difference_step)
        errors = chunk_means((u - target).square(), real)
        parts = {"velocity_error": errors.mean()}
        loss = adaptive_loss(errors, config.adaptive_power, config.adaptive_eps)
        if features:
            parts["dispersive_loss"] = torch.stack(
                [dispersive_loss(feature, config.dispersive_temperature) for feature in features]
            ).sum()
            loss = loss + config.dispersive_weight * parts["dispersive_loss"]
        if config.direction_weight > 0:
            parts["direction_loss"] = direction_loss(u, straight, real)
            loss = loss + config.direction_weight * parts["direction_loss"]
        return self.loss_guard.watch(loss, self.train_step), logged(parts)


class MeanFlowModel(ActionNetwork):
    """Observation encoder and a network of two times; see `ActionNetwork` for attributes."""

    config: MeanFlowConfig

    def __init__(self, config: MeanFlowConfig):
        super().__init__(config, two_times_network)

    def average_velocity(self, z: Tensor, r: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """u (B, T, A) at z (B, T, A) between times r (B,) and t (B,) in 0 ... 1, under cond (B, F)."""
        second = t - r if self.config.time_pair == "t_h" else r
        scale = self.config.time_scale
        return self.denoiser(z, scale * t, scale * second, global_cond=cond)


def check_derivative(model: MeanFlowModel) -> None:
    """Refuse a network whose layers torch cannot differentiate forward, before training.

    Raises:
        InputError: Names the layer or operation.
    """
    weight = next(model.parameters())
    z, t = weight.new_zeros(1, *model.action_shape), weight.new_ones(1)
    cond = weight.new_zeros(1, model.cond_dim)
    try:
        forward_derivative(lambda z, t: model.average_velocity(z, 0 * t, t, cond), (z, t), (z, t))
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(
            "--policy.derivative=forward: torch cannot differentiate a layer of this network forward, such as fused "
            f"attention ({first_line(error)}). Use --policy.derivative=difference."
        ) from error
