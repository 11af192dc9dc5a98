"""DP3's point-cloud encoder: a shared MLP on each point, then the maximum over points (Ze et al. 2024, sec. III-B)."""

import torch
from torch import Tensor, nn

CHUNK_BYTES = 2**24
"""On a CPU, clouds are encoded in chunks whose largest activation has this size. Larger blocks of memory are requested
from the system and returned to it in every layer, page by page, which takes longer than the matrix products."""


class PointEncoder(nn.Module):
    """Maps a point cloud with any number of points to one vector, independent of their order.

    Without color every layer of the MLP is followed by LayerNorm and ReLU; with color the released code adds a
    fourth, plain linear layer. The submodules have the same indices as in the released checkpoints.

    Args:
        in_channels: 3 for xyz, 6 for xyz and rgb.
        hidden_dims: Widths of the MLP's layers; the released widths are (64, 128, 256), with color also 512.
        out_dim: Size of the feature.
    """

    def __init__(self, in_channels: int, hidden_dims: tuple[int, ...] = (64, 128, 256), out_dim: int = 64):
        super().__init__()
        layers: list[nn.Module] = []
        width = in_channels
        for dim in hidden_dims:
            layers += [nn.Linear(width, dim), nn.LayerNorm(dim), nn.ReLU()]
            width = dim
        if in_channels > 3:
            layers.append(nn.Linear(width, 2 * width))
            width *= 2
        self.mlp = nn.Sequential(*layers)
        self.final_projection = nn.Sequential(nn.Linear(width, out_dim), nn.LayerNorm(out_dim))

    def forward(self, points: Tensor) -> Tensor:
        """Args: points (B, N, C). Returns: feature (B, out_dim)."""
        # A graph must not depend on the batch size that it was traced with.
        split = points.device.type == "cpu" and not torch.compiler.is_exporting()
        chunks = points.split(self._clouds_at_once(points)) if split else (points,)
        pooled = [maximum_over_points(self.mlp(chunk)) for chunk in chunks]
        return self.final_projection(torch.cat(pooled))

    def _clouds_at_once(self, points: Tensor) -> int:
        widths = [layer.out_features for layer in self.mlp if isinstance(layer, nn.Linear)]
        widest = max(widths, default=points.shape[-1])
        return max(1, CHUNK_BYTES // (widest * points.shape[-2] * points.element_size()))


def maximum_over_points(features: Tensor) -> Tensor:
    """The maximum (B, D) of features (B, N, D) over points. Its gradient goes to one of equal points, as in DP3.

    `amax` is faster, but shares the gradient among equal points, and counting those takes longer than finding it.
    """
    return features.max(dim=-2).values if features.requires_grad else features.amax(dim=-2)
