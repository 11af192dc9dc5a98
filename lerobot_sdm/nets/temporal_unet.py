"""The FiLM-conditioned temporal U-Net of Diffusion Policy and DP3, on top of LeRobot's own; for consistency trajectory
models also with a noise level to stop at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lerobot.policies.diffusion.modeling_diffusion import (
    DiffusionConditionalResidualBlock1d,
    DiffusionConditionalUnet1d,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lerobot_sdm.diffusion.forward_derivative import has_tangent
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.denoising import DenoisingNetwork
from lerobot_sdm.nets.film import Film, FilmMemory
from lerobot_sdm.nets.trimmed_convolution import trim_convolutions

FILM_WEIGHT = "cond_encoder.1.weight"


class NoBlock(nn.Module):
    """Placeholder for a removed residual block: returns its input, ignoring the condition."""

    def forward(self, x: Tensor, cond: Any) -> Tensor:
        return x


class TemporalUnet(DiffusionConditionalUnet1d, DenoisingNetwork):
    """LeRobot's U-Net with one or two residual blocks per level, and without superfluous computations.

    DP3 (like Diffusion Policy) has two blocks; Simple DP3 has one: its levels keep only their first block, and so does
    the middle. Convolutions are trimmed to the taps that see data at the configured horizon, and at inference FiLM
    layers cache what does not change between steps. Neither changes the output, or the names and shapes of the weights
    in checkpoints.

    Args:
        config: Any object with LeRobot's diffusion fields (`horizon`, `action_feature`, `down_dims`, `kernel_size`,
            `n_groups`, `diffusion_step_embed_dim`, `use_film_scale_modulation`, `gradient_checkpointing`), and
            `blocks_per_level`, which defaults to 2.
        global_cond_dim: Size of the conditioning vector.
    """

    # Made by LeRobot's class.
    config: Any
    diffusion_step_encoder: nn.Module
    down_modules: Any
    mid_modules: Any
    up_modules: Any
    final_conv: nn.Module

    def __init__(self, config, global_cond_dim: int):
        super().__init__(config, global_cond_dim)
        if getattr(config, "blocks_per_level", 2) == 1:
            for level in (*self.down_modules, *self.up_modules):
                level[1] = NoBlock()
            del self.mid_modules[1:]
        blocks = [block for block in self.modules() if isinstance(block, DiffusionConditionalResidualBlock1d)]
        for index, block in enumerate(blocks):
            block.cond_encoder = Film(block.cond_encoder, index)
        actions = torch.zeros(1, config.horizon, config.action_feature.shape[0])
        timestep, cond = torch.zeros(1), torch.zeros(1, global_cond_dim)
        trim_convolutions(self, lambda: self._denoise(actions, self._feature(timestep, cond)))
        self._memory: FilmMemory | None = None

    def forward(self, x: Tensor, timestep: Tensor, global_cond: Tensor) -> Tensor:
        """Args: x (B, T, A), timestep (B,), global_cond (B, F). Returns: (B, T, A)."""
        if torch.compiler.is_exporting() and self._memory is not None:
            return self._denoise(x, self._memory.uncached(timestep, global_cond))
        learns = self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
        if learns or has_tangent(timestep, global_cond):
            return self._denoise(x, self._feature(timestep, global_cond))
        if self._memory is None:
            layers = [module for module in self.modules() if isinstance(module, Film)]
            self._memory = FilmMemory(layers, self.diffusion_step_encoder, self.config.diffusion_step_embed_dim)
        return self._denoise(x, self._memory(timestep, global_cond))

    def train(self, mode: bool = True) -> TemporalUnet:
        """Also clear the FiLM layers' cache, since training may have changed the weights."""
        if self._memory is not None:
            self._memory.forget()
        return super().train(mode)

    def early_layers(self) -> list[nn.Module]:
        """The layers whose outputs are the features of the first two levels, but not of the coarsest of several."""
        return [second for _, second, _ in self.down_modules[: max(1, min(2, len(self.down_modules) - 1))]]

    def add_dropout(self, rate: float, mid_rate: float | None) -> None:
        """At the two places of a residual block where Consistency Policy has it: between the first convolution and
        FiLM, and after the residual sum."""
        mid_rate = rate if mid_rate is None else mid_rate
        for part, share in ((self.down_modules, rate), (self.mid_modules, mid_rate), (self.up_modules, rate)):
            for block in part.modules():
                if share > 0 and isinstance(block, DiffusionConditionalResidualBlock1d):
                    block.conv1.block.append(nn.Dropout(share))
                    block.register_forward_hook(partial(_drop_output, rate=share))

    def _feature(self, timestep: Tensor, cond: Tensor) -> Tensor:
        return torch.cat([self.diffusion_step_encoder(timestep), cond], dim=-1)

    def _denoise(self, x: Tensor, cond: Tensor | list[Tensor]) -> Tensor:
        """Down, through the middle and up again, as in LeRobot; `cond` may also be the outputs of the FiLM layers."""
        run: Callable[..., Tensor] = lambda block, *inputs: block(*inputs)  # noqa: E731
        if self.config.gradient_checkpointing and self.training and torch.is_grad_enabled():
            run = partial(checkpoint, use_reentrant=False)
        x = x.transpose(1, 2)
        skipped: list[Tensor] = []
        for first, second, halve in self.down_modules:
            x = run(second, run(first, x, cond), cond)
            skipped.append(x)
            x = halve(x)
        for block in self.mid_modules:
            x = run(block, x, cond)
        for first, second, double in self.up_modules:
            x = torch.cat([x, skipped.pop()], dim=1)
            x = double(run(second, run(first, x, cond), cond))
        return self.final_conv(x).transpose(1, 2)


def _drop_output(block: nn.Module, _: tuple, output: Tensor, rate: float) -> Tensor:
    return F.dropout(output, rate, block.training)


class StopTimeUnet(TemporalUnet):
    """`TemporalUnet` conditioned on two noise levels. The same step encoder embeds both; FiLM sees (time, stop time,
    condition), in this order (Prasad et al. 2024).

    Args:
        config: As for `TemporalUnet`.
        global_cond_dim: Size of the conditioning vector, without the stop time.
    """

    def __init__(self, config, global_cond_dim: int):
        super().__init__(config, global_cond_dim + config.diffusion_step_embed_dim)

    def forward(  # type: ignore[override]  # One more time than its parent.
        self, x: Tensor, timestep: Tensor, stop: Tensor, global_cond: Tensor
    ) -> Tensor:
        """Args: x (B, T, A), timestep (B,), stop (B,), global_cond (B, F). Returns: (B, T, A)."""
        embedded = self.diffusion_step_encoder(stop).expand(global_cond.shape[0], -1)
        return super().forward(x, timestep, torch.cat([embedded, global_cond], dim=-1))


def widen_for_stop_time(teacher: dict[str, Tensor], step_embed_dim: int, global_cond_dim: int) -> dict[str, Tensor]:
    """Convert the weights of a `TemporalUnet` to a `StopTimeUnet` with the same output for any stop time.

    Each FiLM layer gets zero columns for the stop time, between those of the time and of the condition.

    Args:
        teacher: State of the `TemporalUnet`.
        step_embed_dim: Its `diffusion_step_embed_dim`.
        global_cond_dim: Size of its conditioning vector.

    Raises:
        InputError: There is no FiLM layer, or its number of columns does not match time and condition.
    """
    widened = dict(teacher)
    layers = [name for name in teacher if name.endswith(FILM_WEIGHT)]
    for name in layers:
        weight = teacher[name]
        if weight.shape[1] != step_embed_dim + global_cond_dim:
            raise InputError(
                f"the teacher's U-Net: '{name}' has {weight.shape[1]} columns; a step embedding of {step_embed_dim} "
                f"(diffusion_step_embed_dim) and a condition of {global_cond_dim} need "
                f"{step_embed_dim + global_cond_dim}. Its FiLM layers cannot be widened for a stop time."
            )
        zeros = weight.new_zeros(len(weight), step_embed_dim)
        widened[name] = torch.cat([weight[:, :step_embed_dim], zeros, weight[:, step_embed_dim:]], dim=1)
    if not layers:
        raise InputError(f"the teacher's U-Net: no layer '...{FILM_WEIGHT}', so there is no FiLM to widen.")
    return widened
