"""Flow matching: learn the velocity from noise to actions, and follow it in one step or a few."""

from __future__ import annotations

from functools import partial

from lerobot.utils.constants import ACTION
from torch import Tensor

from lerobot_sdm.diffusion.flow_matching import chunk_means, euler_sample, interpolate, shifted_power_times
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.nets.action_network import ActionNetwork
from lerobot_sdm.policies.demonstration_policy import DemonstrationPolicy
from lerobot_sdm.policies.flow.configuration_flow import FlowConfig


class FlowPolicy(DemonstrationPolicy):
    """Follows a learned velocity from noise to a chunk of actions; see `ChunkPolicy` for the arguments."""

    config_class = FlowConfig
    name = "flow"
    model: FlowModel

    def build_model(self, config: FlowConfig) -> FlowModel:
        return FlowModel(config)

    def actions_from_noise(self, model: FlowModel, noise: Tensor, cond: Tensor) -> Tensor:
        actions = euler_sample(partial(model.velocity, cond=cond), noise, self.config.num_inference_steps)
        return clip_sample(actions, self.config.clip_sample_range)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the predicted velocity, or of the predicted actions, at times near noise."""
        config, actions = self.config, batch[ACTION]
        noise, generator = self.training_noise(actions)
        t = shifted_power_times(len(actions), config.time_power, config.time_shift, generator)
        with self.repeatable_global_noise(actions.device):
            cond = self.model.encode(batch)
            predicted = self.model.predict(interpolate(actions, noise, t), t, cond)
        wanted = noise - actions if config.prediction == "velocity" else actions
        errors = chunk_means((predicted - wanted).square(), self.real_steps(batch))
        return self.loss_guard.watch(errors.mean(), self.train_step), {}


class FlowModel(ActionNetwork):
    """Observation encoder and velocity network; see `ActionNetwork` for arguments and attributes."""

    config: FlowConfig

    def predict(self, z: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """What the network predicts (B, T, A) for z (B, T, A) at times t (B,) in 0 ... 1, under cond (B, F)."""
        return self.denoiser(z, self.config.time_scale * t, global_cond=cond)

    def velocity(self, z: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        """Velocity (B, T, A) at z (B, T, A) and t (B,) above 0, under cond (B, F)."""
        predicted = self.predict(z, t, cond)
        return predicted if self.config.prediction == "velocity" else (z - predicted) / t.view(-1, 1, 1)
