"""Encoder of one observation frame: point cloud and robot state, side by side."""

import torch
from torch import Tensor, nn

from lerobot_sdm.nets.point_encoder import PointEncoder


class ObservationEncoder(nn.Module):
    """Concatenate the features of a cloud and of a state vector, as DP3 does.

    Args:
        state_dim: Size of the robot state.
        cloud_channels: 3 or 6.
        cloud_hidden_dims: Widths of the point MLP.
        cloud_out_dim: Width of the cloud feature.
        state_dims: Widths of the state MLP; no activation behind the last.
    """

    def __init__(
        self,
        state_dim: int,
        cloud_channels: int = 3,
        cloud_hidden_dims: tuple[int, ...] = (64, 128, 256),
        cloud_out_dim: int = 64,
        state_dims: tuple[int, ...] = (64, 64),
    ):
        super().__init__()
        self.extractor = PointEncoder(cloud_channels, tuple(cloud_hidden_dims), cloud_out_dim)
        layers: list[nn.Module] = []
        width = state_dim
        for dim in state_dims:
            layers += [nn.Linear(width, dim), nn.ReLU()]
            width = dim
        self.state_mlp = nn.Sequential(*layers[:-1])
        self.out_dim = cloud_out_dim + width

    def forward(self, cloud: Tensor, state: Tensor) -> Tensor:
        """Args: cloud (B, N, C), state (B, D). Returns: feature (B, out_dim)."""
        return torch.cat([self.extractor(cloud), self.state_mlp(state)], dim=-1)
