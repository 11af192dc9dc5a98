"""Encoder of one observation frame: point cloud, camera images and state vectors, concatenated."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lerobot_sdm.nets.point_encoder import PointEncoder


class ObservationEncoder(nn.Module):
    """Concatenates the features of a cloud, of images and of a state vector; as DP3 does for cloud and state.

    Args:
        state_dim: Size of the robot state, including other vectors such as keypoints.
        cloud_channels: 3 or 6; None for no cloud.
        cloud_hidden_dims: Layer widths of the point MLP.
        cloud_out_dim: Size of the cloud feature.
        state_dims: Layer widths of the state MLP; no activation after the last. Empty to use the state unchanged.
        cameras: One encoder (B, C, H, W) -> (B, `feature_dim`) for each image, such as LeRobot's.
    """

    def __init__(
        self,
        state_dim: int,
        cloud_channels: int | None = 3,
        cloud_hidden_dims: tuple[int, ...] = (64, 128, 256),
        cloud_out_dim: int = 64,
        state_dims: tuple[int, ...] = (64, 64),
        cameras: Sequence[nn.Module] = (),
    ):
        super().__init__()
        self.extractor = None
        if cloud_channels is not None:
            self.extractor = PointEncoder(cloud_channels, tuple(cloud_hidden_dims), cloud_out_dim)
        layers: list[nn.Module] = []
        width = state_dim
        for dim in state_dims:
            layers += [nn.Linear(width, dim), nn.ReLU()]
            width = dim
        self.state_mlp = nn.Sequential(*layers[:-1])
        self.cameras = nn.ModuleList(cameras)
        features: list[Any] = [camera.feature_dim for camera in cameras]
        self.out_dim: int = width + sum(features)
        if self.extractor is not None:
            self.out_dim += cloud_out_dim

    def forward(self, cloud: Tensor | None, state: Tensor, images: Sequence[Tensor] = ()) -> Tensor:
        """Args: cloud (B, N, C), state (B, D), images of the cameras (B, C, H, W). Returns: feature (B, out_dim)."""
        parts = [] if self.extractor is None else [self.extractor(cloud)]
        parts.append(self.state_mlp(state))
        parts += [camera(image) for camera, image in zip(self.cameras, images, strict=True)]
        return torch.cat(parts, dim=-1)
