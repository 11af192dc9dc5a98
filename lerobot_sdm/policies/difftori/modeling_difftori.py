"""DiffTORI for imitation (Wan et al. 2024): a policy optimizes a reward that was learned through the optimizer.

The *base* is a frozen policy that proposes a chunk of actions. The *reward* is a function of the observation's
features, a latent and a chunk; starting from the base's chunk, an optimizer increases it for some steps. The
*posterior* infers the latent of a demonstrated chunk, as in a variational autoencoder; at evaluation the latent is
drawn from the prior. The loss is the error of the improved chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lerobot.utils.constants import ACTION, OBS_STATE
from torch import Tensor, nn

from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.frames import FrameEncoder
from lerobot_sdm.nets.observation_encoder import ObservationEncoder
from lerobot_sdm.policies.chunk_policy import ChunkPolicy, logged
from lerobot_sdm.policies.denoiser import denoiser_of
from lerobot_sdm.policies.difftori.base_policy import build_base, load_weights, observation_settings, propose
from lerobot_sdm.policies.difftori.configuration_difftori import DiffTORIConfig
from lerobot_sdm.policies.difftori.networks import Posterior, RewardNetwork, divergence_from_prior
from lerobot_sdm.policies.difftori.trajectory_optimization import Optimization, optimize
from lerobot_sdm.policies.observation_config import ObservationConfig
from lerobot_sdm.policies.optimizer_settings import one_group
from lerobot_sdm.policies.range_watch import watch_source
from lerobot_sdm.policies.source.files import WEIGHTS_FILE
from lerobot_sdm.policies.source.processors import take_statistics
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.processors.normalization import Stats, prepare_stats


class DiffTORIPolicy(ChunkPolicy):
    """A base policy whose action chunks are improved under a learned reward; see `ChunkPolicy` for the arguments."""

    config_class = DiffTORIConfig
    name = "difftori"
    model: DiffTORIModel

    def __init__(self, config: DiffTORIConfig, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any):
        super().__init__(config, dataset_stats, dataset_meta)
        self.model = DiffTORIModel(config)
        if self.built_for_training:
            if config.n_iterations == 0:
                raise InputError("--policy.n_iterations=0: training needs at least one step. Set it to 1 or more.")
            if config.base is not None:
                self._take_base(dataset_stats, dataset_meta)

    def prepare_stats(self, stats: Stats) -> None:
        """As the base's policy type does."""
        base = self.config.base_config
        seen = self.config if base is None else observation_settings(base)
        if isinstance(seen, ObservationConfig):
            prepare_stats(stats, seen.cloud_channels, seen.depth_to_cloud)

    def _take_base(self, dataset_stats: Stats | None, dataset_meta: Any) -> None:
        """Load the base when training begins. A checkpoint contains its base, which must not be replaced, and has the
        base's pipelines."""
        config, source = self.config, self.config.source
        begins = config.pretrained_path is None
        if source is not None and (begins or Path(source.path).is_dir()):
            source.check_same(config.base_sha256)
            config.base_sha256 = source.sha256
        checkpoint = SourcePolicy(str(config.pretrained_path), config.pretrained_revision, role="checkpoint")
        normalizing = source if begins else checkpoint
        if normalizing is not None:
            features = {**config.input_features, **config.output_features}
            self.range_watch = watch_source(normalizing, features, dataset_stats, dataset_meta)
            take_statistics(normalizing, features, dataset_stats)
        if begins and source is not None:
            load_weights(self.model.base, source.file(WEIGHTS_FILE), source.given)

    @property
    def denoiser(self) -> nn.Module:
        """The base's denoiser; the reward if there is no base or it has no denoiser."""
        model = self.inference_model
        found = None if model.base is None else denoiser_of(model.base)
        return model.reward if found is None else found

    # ---- acting ----------------------------------------------------------------------------------------

    def plan(self, cond: Tensor, noise: Tensor | None, observed: Callable[[], dict[str, Tensor]]) -> Tensor:
        """See `ChunkPolicy`; the optimized chunk begins at the current frame, and the noise is the base's."""
        model = self.inference_model
        return self.actions_from_noise(model, model.propose(observed(), noise), cond)[:, : self.config.n_action_steps]

    def sample_actions(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Improved chunks (B, chunk_size, A), normalized; see `ChunkPolicy`. The noise is the base's, and the latent is
        always drawn from torch's global generator."""
        model = self.inference_model
        start = model.propose(batch, noise)
        return self.actions_from_noise(model, start, model.encode(batch))

    def actions_from_noise(self, model: DiffTORIModel, noise: Tensor, cond: Tensor) -> Tensor:
        """Improve chunks (B, chunk_size, A), in place of noise, with latents from the prior."""
        if self.config.n_iterations == 0:
            return noise  # Without a latent, so that later chunks get the start noise that the base alone would get.
        copies = self.config.coupled_copies if self.config.coupling == "batch" else 1
        start, features = (tensor.repeat_interleave(copies, dim=0) for tensor in (noise, cond))
        latent = torch.randn(len(features), self.config.latent_dim, device=start.device, dtype=start.dtype)
        return model.improve(start, features, self.config.latent_std * latent, group=copies)[::copies]

    # ---- training --------------------------------------------------------------------------------------

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The error of the improved chunk (B, chunk_size, A), and the latent's divergence from its prior; to log, both
        and the error of the chunks before the improvement."""
        config, model, actions = self.config, self.model, batch[ACTION]
        generator = self.training_noise_generator(actions.device)
        with self.repeatable_global_noise(actions.device):
            start, features = model.propose(batch), model.encode(batch)
        if config.start_noise_std > 0:
            noise = torch.randn(start.shape, generator=generator, device=start.device, dtype=start.dtype)
            start = start + config.start_noise_std * noise
        mean, log_variance = model.posterior(features, actions)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        latent = mean + (0.5 * log_variance).exp() * noise
        chunk = model.improve(start, features, latent, group=len(actions) if config.coupling == "batch" else 1)
        real = self.real_steps(batch)
        improved, before = (e if real is None else e[real] for e in (chunk - actions, start - actions))
        action_loss = improved.square().mean()
        kl_loss = divergence_from_prior(mean, log_variance).mean()
        parts = {"action_loss": action_loss, "kl_loss": kl_loss, "start_loss": before.square().mean()}
        total = config.action_weight * action_loss + config.kl_weight * kl_loss
        return self.loss_guard.watch(total, self.train_step), logged(parts)

    def get_optim_params(self) -> Any:
        return one_group(parameter for parameter in self.model.parameters() if parameter.requires_grad)


class DiffTORIModel(FrameEncoder):
    """Base, observation encoder, posterior and reward of a configuration with input and output features."""

    def __init__(self, config: DiffTORIConfig):
        super().__init__()
        self.config = config
        self.n_obs_steps = config.n_obs_steps
        self.action_shape = (config.chunk_size, config.action_feature.shape[0])
        self.base = None if config.base is None else build_base(config.base, config.device)
        self.obs_encoder = ObservationEncoder(config)
        feature_dim = self.obs_encoder.out_dim * config.n_obs_steps
        chunk_dim = self.action_shape[0] * self.action_shape[1]
        self.posterior = Posterior(feature_dim, chunk_dim, config.latent_dim, config.hidden_dim)
        self.reward = RewardNetwork(feature_dim, config.latent_dim, chunk_dim, config.hidden_dim)

    def encode_frames(self, batch: dict[str, Tensor]) -> Tensor:
        return self.obs_encoder.encode_frames(batch)

    def propose(self, batch: dict[str, Tensor], noise: Tensor | None = None) -> Tensor:
        """Initial chunks (B, chunk_size, A): the base's, from start noise (B, horizon, A) if it takes any; or zeros."""
        if self.base is None:
            return batch[OBS_STATE].new_zeros(len(batch[OBS_STATE]), *self.action_shape)
        return propose(self.base, batch, self.config.chunk_size, noise)

    def improve(self, start: Tensor, features: Tensor, latent: Tensor, group: int = 1) -> Tensor:
        """Optimize chunks (B, chunk_size, A) under the reward, given features (B, F) and latents (B, Z); `group`
        consecutive samples share a residual."""
        config = self.config
        how = Optimization(
            config.n_iterations,
            config.step_size,
            config.damping,
            config.reward_offset,
            config.clip_range,
            config.n_recorded_iterations,
        )
        # In half precision, adding the offset of 1000 would round a small reward away.
        with torch.autocast(start.device.type, enabled=False):
            context = self.reward.context(features.float(), latent.float())
            return optimize(self.reward, start.float(), context, how, group)

    def train(self, mode: bool = True) -> DiffTORIModel:
        """The base never trains: it keeps its batch statistics and the crops of inference."""
        super().train(mode)
        if self.base is not None:
            self.base.eval()
        return self
