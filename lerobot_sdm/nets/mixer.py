"""The Diffusion Mixer of Hydra-DP3 (https://arxiv.org/abs/2605.01581): MLPs over the steps and the channels of a chunk.

It has no convolution, no attention and no positional embedding: an MLP over the steps has weights for each step, so it
knows their order, and the network takes chunks of one length only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from lerobot.policies.diffusion.modeling_diffusion import DiffusionSinusoidalPosEmb
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.denoising import DenoisingNetwork

STEP_EMBED_DIM = 64
"""Width of the timestep embedding, as released; its MLP is four times as wide inside."""

STEPS_WEIGHT = "blocks.0.over_steps.inner.weight"
"""A weight (ratio * T, T) that tells the length of the chunks."""


class Mixer(DenoisingNetwork):
    """Blocks of an MLP over the steps, an MLP over the channels, and a gate that the condition controls.

    With c = L_t(MLP(t)) + L_o(condition), one vector of width D for noise level and observation, a block computes

        x += MLP_T(LN(x))                            over the T steps of each channel
        x += MLP_D(LN(x))                            over the D channels of each step
        x += g (x (1 + s) + b), (g, s, b) = MLP(c)   the same for all steps

    The gate's MLP has two thirds of a block's weights.

    Args:
        config: Any object with `horizon` T, `action_feature` (A,), `mixer_width` D, `mixer_depth`, `mixer_ratio`
            (inner width of each MLP over its outer one) and `gradient_checkpointing`.
        global_cond_dim: Size F of the conditioning vector.
    """

    def __init__(self, config: Any, global_cond_dim: int):
        super().__init__()
        width, actions = config.mixer_width, config.action_feature.shape[0]
        self.horizon = config.horizon
        self.gradient_checkpointing = config.gradient_checkpointing
        self.step_encoder = nn.Sequential(
            DiffusionSinusoidalPosEmb(STEP_EMBED_DIM),
            nn.Linear(STEP_EMBED_DIM, 4 * STEP_EMBED_DIM),
            nn.SiLU(),
            nn.Linear(4 * STEP_EMBED_DIM, STEP_EMBED_DIM),
        )
        self.from_step = nn.Linear(STEP_EMBED_DIM, width)
        self.from_cond = nn.Linear(global_cond_dim, width)
        self.from_actions = nn.Linear(actions, width)
        self.blocks = nn.ModuleList(
            MixerBlock(config.horizon, width, config.mixer_ratio) for _ in range(config.mixer_depth)
        )
        self.to_actions = nn.Linear(width, actions)

    def forward(self, x: Tensor, timestep: Tensor, global_cond: Tensor) -> Tensor:
        """Args: x (B, T, A), timestep (B,), global_cond (B, F). Returns: (B, T, A).

        Raises:
            ValueError: x has another number of steps than T.
        """
        return self._denoise(x, self._embed(timestep, global_cond))

    def _embed(self, timestep: Tensor, global_cond: Tensor) -> Tensor:
        """c (B, D)."""
        return self.from_step(self.step_encoder(timestep)) + self.from_cond(global_cond)

    def _denoise(self, x: Tensor, embedded: Tensor) -> Tensor:
        if x.shape[1] != self.horizon:
            raise ValueError(f"x: has {x.shape[1]} steps, but this mixer was built for horizon={self.horizon}.")
        run: Callable[..., Tensor] = lambda block, *inputs: block(*inputs)  # noqa: E731
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            run = partial(checkpoint, use_reentrant=False)
        x = self.from_actions(x)
        for block in self.blocks:
            x = run(block, x, embedded)
        return self.to_actions(x)

    def add_dropout(self, rate: float, mid_rate: float | None) -> None:
        """Between the layers of the MLPs over steps and channels, which have no middle."""
        for mlp in self.modules():
            if isinstance(mlp, MixingMlp):
                mlp.dropout_rate = rate

    def early_layers(self) -> list[nn.Module]:
        """The first two blocks, but not the last of several."""
        return list(self.blocks[: max(1, min(2, len(self.blocks) - 1))])

    def check_weights(self, weights: Mapping[str, Tensor]) -> None:
        trained = weights[STEPS_WEIGHT].shape[-1] if STEPS_WEIGHT in weights else self.horizon
        if trained != self.horizon:
            raise InputError(
                f"--policy.horizon={self.horizon}: this policy is a mixer of chunks of {trained} steps, and each step "
                "has weights of its own. Drop the option, or train another policy."
            )


class StopTimeMixer(Mixer):
    """`Mixer` with a second time, which is embedded by the same MLP and added to c by a layer of its own."""

    def __init__(self, config: Any, global_cond_dim: int):
        super().__init__(config, global_cond_dim)
        self.from_stop = nn.Linear(STEP_EMBED_DIM, config.mixer_width)

    def forward(  # type: ignore[override]  # One more time than its parent.
        self, x: Tensor, timestep: Tensor, stop: Tensor, global_cond: Tensor
    ) -> Tensor:
        """Args: x (B, T, A), timestep (B,), stop (B,), global_cond (B, F). Returns: (B, T, A)."""
        stopping = self.from_stop(self.step_encoder(stop))
        return self._denoise(x, self._embed(timestep, global_cond) + stopping)


class MixerBlock(nn.Module):
    """One block of a `Mixer`; the inner width of each MLP is its outer width times `ratio`."""

    def __init__(self, horizon: int, width: int, ratio: int):
        super().__init__()
        self.norm_steps = nn.LayerNorm(width)
        self.over_steps = MixingMlp(horizon, ratio, nn.Linear)
        self.norm_channels = nn.LayerNorm(width)
        self.over_channels = MixingMlp(width, ratio, ReducibleLinear)
        self.gate = nn.Sequential(nn.Linear(width, ratio * width), nn.SiLU(), nn.Linear(ratio * width, 3 * width))

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """Args: x (B, T, D), embedded condition (B, D). Returns: (B, T, D)."""
        x = x + self.over_steps(self.norm_steps(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.over_channels(self.norm_channels(x))
        gate, scale, shift = self.gate(embedded).unsqueeze(1).chunk(3, dim=-1)
        return x + gate * (x * (1 + scale) + shift)


class MixingMlp(nn.Module):
    """Two layers of a class `linear` with SiLU between them, over the last axis."""

    def __init__(self, width: int, ratio: int, linear: type[nn.Linear]):
        super().__init__()
        self.inner = linear(width, ratio * width)
        self.outer = linear(ratio * width, width)
        self.dropout_rate = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        return self.outer(F.dropout(F.silu(self.inner(x)), self.dropout_rate, self.training))


class ReducibleLinear(nn.Linear):
    """`nn.Linear` that `nets.precision` can reduce.

    Attributes:
        product: Replaces `weight` by a product of lower precision; None to use it.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features)
        self.product: nn.Module | None = None

    def matrix(self) -> Tensor:
        """(C_out, C_in)."""
        return self.weight

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (..., C_in). Returns: (..., C_out)."""
        return F.linear(x, self.weight, self.bias) if self.product is None else self.product(x) + self.bias


@torch.no_grad()
def add_stop_time(weights: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """Convert the weights of a `Mixer` of this width to a `StopTimeMixer` with the same output for any stop time: its
    layer for the stop time is zero."""
    like = weights["from_step.weight"]
    zeros = {"from_stop.weight": like.new_zeros(width, STEP_EMBED_DIM), "from_stop.bias": like.new_zeros(width)}
    return {**weights, **zeros}
