"""The table of denoising networks, by `--policy.backbone`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.denoising import DenoisingNetwork
from lerobot_sdm.nets.mixer import Mixer, StopTimeMixer, add_stop_time
from lerobot_sdm.nets.temporal_unet import StopTimeUnet, TemporalUnet, widen_for_stop_time

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class BackboneType:
    """A kind of denoising network, and what a network with two times takes over from one with a single time.

    Args:
        network: Builds it, from a configuration and the size of its condition.
        two_times: The same with a stop time.
        with_stop_time: Converts weights of the first to weights of the second that give the same output for any stop
            time, from those weights, the configuration and the size of the condition.
    """

    network: Callable[[Any, int], DenoisingNetwork]
    two_times: Callable[[Any, int], DenoisingNetwork]
    with_stop_time: Callable[[State, Any, int], dict[str, Tensor]]


BACKBONES = {
    "unet": BackboneType(
        TemporalUnet,
        StopTimeUnet,
        lambda state, config, cond: widen_for_stop_time(dict(state), config.diffusion_step_embed_dim, cond),
    ),
    "mixer": BackboneType(Mixer, StopTimeMixer, lambda state, config, cond: add_stop_time(state, config.mixer_width)),
}
"""Backbone -> how it is built. Its name is also that of the network in a model, so its weights are `NAME.*`."""


def denoising_network(config: Any, cond_dim: int) -> DenoisingNetwork:
    """The network of a configuration (`ChunkConfig`), with random weights, for conditions (B, cond_dim)."""
    return BACKBONES[config.backbone].network(config, cond_dim)


def two_times_network(config: Any, cond_dim: int) -> DenoisingNetwork:
    """The same with a stop time."""
    return BACKBONES[config.backbone].two_times(config, cond_dim)


def check_backbone(model: nn.Module, weights: State, source: str) -> None:
    """Refuse weights of a `FrameEncoder` with another backbone or horizon than this model's; models without a
    `DenoisingNetwork` take all weights. Messages name them `source`.

    Raises:
        InputError: Names the setting.
    """
    network = getattr(model, "denoiser", None)
    if not isinstance(network, DenoisingNetwork):
        return
    name = model.denoiser_name
    mine = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
    others = [other for other in BACKBONES if any(key.startswith(f"{other}.") for key in weights)]
    if not mine and others:
        raise InputError(
            f"--policy.backbone={name}: the weights in {source} are those of the backbone '{others[0]}'. Drop the "
            "option, or train another policy."
        )
    network.check_weights(mine)
