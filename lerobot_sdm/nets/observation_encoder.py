"""Encode the observations of a batch (clouds, images, keypoints, state) to the vector that conditions a denoiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lerobot.policies.diffusion.modeling_diffusion import DiffusionRgbEncoder
from lerobot.utils.constants import OBS_ENV_STATE, OBS_STATE
from torch import Tensor, nn

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.point_encoder import PointEncoder

VECTORS = (OBS_STATE, OBS_ENV_STATE)
"""Observations that are vectors, in the order in which they are encoded."""


class ObservationEncoder(nn.Module):
    """Concatenates the features of a cloud, of vectors and of images; as DP3 does for cloud and state.

    Args:
        config: An `ObservationConfig` with its features; if it has image features, an `ImageObservationConfig`.

    Attributes:
        out_dim: Size of a frame's feature.
    """

    def __init__(self, config: Any):
        super().__init__()
        self.config, features = config, config.input_features
        cameras = [DiffusionRgbEncoder(config) for _ in config.image_features]
        self.extractor = None
        if POINT_CLOUD in features:
            self.extractor = PointEncoder(
                config.cloud_channels, tuple(config.encoder_hidden_dims), config.encoder_out_dim
            )
        layers: list[nn.Module] = []
        width = sum(features[key].shape[0] for key in VECTORS if key in features)
        for dim in config.state_mlp_dims:
            layers += [nn.Linear(width, dim), nn.ReLU()]
            width = dim
        self.state_mlp = nn.Sequential(*layers[:-1])
        self.cameras = nn.ModuleList(cameras)
        self.out_dim: int = width + sum(camera.feature_dim for camera in cameras)
        if self.extractor is not None:
            self.out_dim += config.encoder_out_dim

    def forward(self, cloud: Tensor | None, state: Tensor, images: Sequence[Tensor] = ()) -> Tensor:
        """Args: cloud (B, N, C), state (B, D), images of the cameras (B, C, H, W). Returns: feature (B, out_dim)."""
        parts = [] if self.extractor is None else [self.extractor(cloud)]
        parts.append(self.state_mlp(state))
        parts += [camera(image) for camera, image in zip(self.cameras, images, strict=True)]
        return torch.cat(parts, dim=-1)

    def encode_frames(self, batch: dict[str, Tensor]) -> Tensor:
        """Features (B, n, out_dim) of preprocessed observations, frame by frame.

        Args:
            batch: All of `config.input_features`: vectors (B, n, D), clouds (B, n, N, C), images (B, n, C, H, W), or
                (B, C, H, W) for a single frame, as LeRobot reads it.

        Raises:
            InputError: An observation is missing, has a different number of frames than the others, or too few
                channels.
        """
        config = self.config
        missing = [key for key in config.input_features if key not in batch]
        if missing:
            raise InputError(f"observations: '{missing[0]}' is missing; the policy was trained with it.")
        images = [batch[key] if batch[key].ndim == 5 else batch[key].unsqueeze(1) for key in config.image_features]
        vectors = torch.cat([batch[key] for key in VECTORS if key in config.input_features], dim=-1)
        cloud = batch[POINT_CLOUD] if POINT_CLOUD in config.input_features else None
        frames = vectors.shape[1]
        parts = [("vectors", vectors, 3), *(("images", image, 5) for image in images)]
        if cloud is not None:
            parts.append(("cloud", cloud, 4))
        for name, part, ndim in parts:
            if part.ndim != ndim or part.shape[1] != frames:
                raise InputError(
                    f"observations: {name} {tuple(part.shape)} are not (B, {frames}, ...), {ndim} axes, with as many "
                    "frames as the vectors have."
                )
        if cloud is not None:
            if cloud.shape[-1] < config.cloud_channels:
                raise InputError(f"'{POINT_CLOUD}': {cloud.shape[-1]} channels, {config.cloud_channels} are needed.")
            cloud = cloud[:, :, : config.n_points, : config.cloud_channels].flatten(0, 1)
        features = self(cloud, vectors.flatten(0, 1), [image.flatten(0, 1) for image in images])
        return features.unflatten(0, vectors.shape[:2])
