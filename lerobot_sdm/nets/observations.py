"""Encode the observations of a batch (clouds, images, keypoints, state) to the vector that conditions a denoiser."""

from __future__ import annotations

from typing import Any

import torch
from lerobot.policies.diffusion.modeling_diffusion import DiffusionRgbEncoder
from lerobot.utils.constants import OBS_ENV_STATE, OBS_STATE
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.observation_encoder import ObservationEncoder

VECTORS = (OBS_STATE, OBS_ENV_STATE)
"""Observations that are vectors, in the order in which they are encoded."""


def observation_encoder(config: Any) -> ObservationEncoder:
    """Build the encoder for a configuration's `input_features`.

    Args:
        config: An `ObservationConfig`; if it has image features, an `ImageObservationConfig`.
    """
    features = config.input_features
    return ObservationEncoder(
        state_dim=sum(features[key].shape[0] for key in VECTORS if key in features),
        cloud_channels=config.cloud_channels if POINT_CLOUD in features else None,
        cloud_hidden_dims=config.encoder_hidden_dims,
        cloud_out_dim=config.encoder_out_dim,
        state_dims=config.state_mlp_dims,
        cameras=[DiffusionRgbEncoder(config) for _ in config.image_features],
    )


def encode_frames(encoder: ObservationEncoder, config: Any, batch: dict[str, Tensor]) -> Tensor:
    """Features of preprocessed observations, frame by frame.

    Args:
        encoder: From `observation_encoder`.
        config: The configuration from which it was built.
        batch: All of `config.input_features`: vectors (B, n, D), clouds (B, n, N, C), images (B, n, C, H, W), or
            (B, C, H, W) for a single frame, as LeRobot reads it.

    Returns:
        (B, n, F).

    Raises:
        InputError: An observation is missing, has a different number of frames than the others, or too few channels.
    """
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
    features = encoder(cloud, vectors.flatten(0, 1), [image.flatten(0, 1) for image in images])
    return features.unflatten(0, vectors.shape[:2])
