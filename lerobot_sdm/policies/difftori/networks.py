"""DiffTORI's two networks after the encoder: the posterior of a demonstrated chunk's latent, and the reward."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Posterior(nn.Module):
    """q(z | features, chunk): a Gaussian with Z independent entries, from F features and chunks of T * A numbers."""

    def __init__(self, feature_dim: int, chunk_dim: int, latent_dim: int, hidden_dim: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(feature_dim + chunk_dim, hidden_dim),
            nn.ELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ELU(),
            nn.Linear(hidden_dim, 2 * latent_dim),
        )

    def forward(self, features: Tensor, chunk: Tensor) -> tuple[Tensor, Tensor]:
        """Args: features (B, F), chunk (B, T, A). Returns: mean and logarithm of the variance, each (B, Z)."""
        mean, log_variance = self.layers(torch.cat([features, chunk.flatten(1)], dim=-1)).chunk(2, dim=-1)
        return mean, log_variance


class RewardNetwork(nn.Module):
    """R(features, latent, chunk), unbounded.

    The first layer is one matrix, applied in two parts: its product with features and latent is constant while a chunk
    is optimized. It has F features, latents of Z and chunks of T * A numbers, and two hidden layers of width H.
    """

    def __init__(self, feature_dim: int, latent_dim: int, chunk_dim: int, hidden_dim: int):
        super().__init__()
        self.context_dim = feature_dim + latent_dim
        self.first = nn.Linear(self.context_dim + chunk_dim, hidden_dim)
        self.further = nn.Sequential(nn.ELU(), nn.Linear(hidden_dim, hidden_dim), nn.ELU(), nn.Linear(hidden_dim, 1))

    def context(self, features: Tensor, latent: Tensor) -> Tensor:
        """The part that does not depend on the chunk: features (B, F) and latent (B, Z) to (B, H)."""
        weight = self.first.weight[:, : self.context_dim]
        return F.linear(torch.cat([features, latent], dim=-1), weight, self.first.bias)

    def forward(self, chunk: Tensor, context: Tensor) -> Tensor:
        """Args: chunk (B, T, A), context (B, H) from `context`. Returns: rewards (B,)."""
        weight = self.first.weight[:, self.context_dim :]
        return self.further(F.linear(chunk.flatten(1), weight) + context).squeeze(-1)


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), summed over the latent's entries.

    Appendix B of Kingma and Welling (2013), https://arxiv.org/abs/1312.6114, with the opposite sign: (B,) from (B, Z).
    """
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=-1)
