"""A temporal U-Net that is also conditioned on the noise level to stop at, for consistency trajectory models."""

import torch
from torch import Tensor

from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.temporal_unet import TemporalUnet

FILM_WEIGHT = "cond_encoder.1.weight"


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

    Returns:
        State of the `StopTimeUnet`.

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
