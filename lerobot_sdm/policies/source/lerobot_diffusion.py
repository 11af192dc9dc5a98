"""LeRobot's `diffusion` as a source: images, keypoints and states; predicts noise or clean actions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from lerobot.configs.types import PolicyFeature
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionModel, DiffusionRgbEncoder
from lerobot.utils.constants import OBS_IMAGES, OBS_STATE
from torch import Tensor

from lerobot_sdm.diffusion.schedules import ddim_timesteps
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.nets.temporal_unet import TemporalUnet
from lerobot_sdm.policies.source.adapters import Adapter
from lerobot_sdm.processors.normalization import Stats
from lerobot_sdm.safe_files.weights import read_weights

DDIM_STEPS = 16
"""Default steps of the deterministic sampler. A teacher trained with DDPM usually takes all hundred steps and draws
fresh noise at each, so its samples are not a function of the start noise."""


class DiffusionBackbone(Backbone):
    """LeRobot's `DiffusionModel`; its weights are named as in LeRobot's checkpoints.

    Args:
        config: LeRobot's configuration with input and output features.
    """

    denoiser_name = "diffusion.unet"

    def __init__(self, config: DiffusionConfig):
        super().__init__()
        self.config = config
        self.n_obs_steps = config.n_obs_steps
        self.diffusion = DiffusionModel(config)
        schedule = self.diffusion.noise_scheduler.alphas_cumprod.float()
        self.register_buffer("alphas_cumprod", schedule, persistent=False)
        self.prediction_type = config.prediction_type
        self.clip_range = config.clip_sample_range if config.clip_sample else None
        self.action_shape = (config.horizon, config.action_feature.shape[0])
        vectors = (config.robot_state_feature, config.env_state_feature)
        per_frame = sum(feature.shape[0] for feature in vectors if feature is not None)
        if config.image_features:
            per_frame += self._rgb_encoders()[0].feature_dim * len(config.image_features)
        self.cond_dim = per_frame * config.n_obs_steps
        # The same network without its superfluous computations.
        self.diffusion.unet = TemporalUnet(config, self.cond_dim)

    def encode_frames(self, batch: dict[str, Tensor]) -> Tensor:
        config = self.config
        state = batch[OBS_STATE]
        if state.ndim != 3:
            raise InputError(f"observations: state {tuple(state.shape)} is not (B, frames, D).")
        if config.image_features:
            # A single frame of a video comes without the time axis.
            images = [batch[key] if batch[key].ndim == 5 else batch[key].unsqueeze(1) for key in config.image_features]
            batch = {**batch, OBS_IMAGES: torch.stack(images, dim=-4)}
        features = self.diffusion._prepare_global_conditioning(batch)
        return features.unflatten(1, (state.shape[1], -1))

    def sampler_timesteps(self, steps: int | None = None) -> list[int]:
        """LeRobot's DDIM uses diffusers' "leading" spacing: 90, 80, ... 0 for 10 steps of 100."""
        steps = steps or self.config.num_inference_steps or DDIM_STEPS
        return ddim_timesteps(self.num_train_timesteps, steps, "leading")

    def train(self, mode: bool = True) -> DiffusionBackbone:
        """Crops are random in training, as in LeRobot. The encoder itself never trains here, so its batch statistics
        must stay the teacher's."""
        super().train(mode)
        for encoder in self._rgb_encoders():
            for part in encoder.children():
                part.eval()
        return self

    def _rgb_encoders(self) -> list[DiffusionRgbEncoder]:
        return [module for module in self.modules() if isinstance(module, DiffusionRgbEncoder)]


class LeRobotDiffusionAdapter(Adapter):
    """LeRobot's `diffusion`."""

    def network(self, config: DiffusionConfig) -> DiffusionBackbone:
        # All weights come from a checkpoint, so download nothing; compiling would rename the weights.
        config.pretrained_backbone_weights = None
        config.compile_model = False
        return DiffusionBackbone(config)

    def prepare_stats(self, config: DiffusionConfig, stats: Stats) -> None:
        """LeRobot's `diffusion` uses statistics unchanged."""

    def weights(self, file: Path) -> dict[str, Tensor]:
        return {name.replace("_orig_mod.", ""): value for name, value in read_weights(file).items()}

    def keep_features(self, config: DiffusionConfig, offered: Mapping[str, PolicyFeature]) -> dict[str, PolicyFeature]:
        missing = [key for key in config.input_features if key not in offered]
        if missing:
            raise InputError(
                f"'{missing[0]}': the teacher needs it, but it is not among the observations ({', '.join(offered)}). A "
                "student needs its teacher's cameras and states."
            )
        return {key: offered[key] for key in config.input_features}
