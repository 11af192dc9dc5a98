"""What the networks that denoise action chunks have in common, so that one can take another's place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


class DenoisingNetwork(nn.Module, ABC):
    """A network from noisy actions, a noise level and a condition to actions; abstract base class.

    It is built from a configuration and the size F of its condition, and called like this:

        network(x (B, T, A), timestep (B,), global_cond=(B, F)) -> (B, T, A)
        network(x (B, T, A), timestep (B,), stop (B,), global_cond=(B, F)) -> (B, T, A)

    The second form is that of a network with two times: `nets.backbones` builds either. Timesteps may be int64 or
    float32. What a network predicts, and what it caches at inference, is not the caller's business: it must give the
    same output in any mode, up to rounding. `nets.backbones.BACKBONES` lists all of them.
    """

    @abstractmethod
    def add_dropout(self, rate: float, mid_rate: float | None) -> None:
        """Add dropout, in place, without renaming weights.

        Args:
            rate: Dropout rate.
            mid_rate: Rate of the middle blocks of a network that has a middle; None for `rate`.
        """

    @abstractmethod
    def early_layers(self) -> list[nn.Module]:
        """The layers whose outputs are features of an early stage, at most two, for losses on features."""

    def check_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Refuse weights of this class of networks that a setting rules out, such as those of another horizon.

        Raises:
            InputError: Names the setting.
        """


@contextmanager
def tapped(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Context within which the outputs of a network's layers are collected, in the order of their calls."""
    outputs: list[Tensor] = []
    handles = [layer.register_forward_hook(lambda _, __, output: outputs.append(output)) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
