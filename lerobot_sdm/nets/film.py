"""FiLM layers with caching: within an action chunk the condition is the same in each step, and the timesteps are the
same for each chunk."""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_TIMES = 128
"""Maximum number of cached timesteps; samplers use fewer."""


class Film(nn.Sequential):
    """LeRobot's layer from a conditioning vector to scales and biases (Mish, then linear), with the same weight names.

    Args:
        encoder: The layer to replace; its modules are reused.
        index: Index of the layer in the network.
    """

    def __init__(self, encoder: nn.Sequential, index: int):
        super().__init__(*encoder)
        self.index = index

    def forward(self, cond: Tensor | list[Tensor]) -> Tensor:
        """Args: cond (B, F), or the outputs of all layers of the network. Returns: (B, 2 C)."""
        return cond[self.index] if isinstance(cond, list) else super().forward(cond)


class FilmMemory:
    """Caches the outputs of all FiLM layers of a network at inference, as a sum of a time part and a condition part.

    The cache is cleared when the weights change; but a fused optimizer does not tell that it changed them, so call
    `forget` when the network begins or ends training.

    Args:
        layers: The network's FiLM layers, in order.
        step_encoder: The network's timestep embedding, whose features come first in the layers' input.
        width: Size of that embedding.
    """

    def __init__(self, layers: Sequence[Film], step_encoder: nn.Module, width: int):
        self._layers = [cast(nn.Linear, layer[1]) for layer in layers]
        self._step_encoder, self._width = step_encoder, width
        self._weights = [*step_encoder.parameters(), *(p for layer in self._layers for p in layer.parameters())]
        self.forget()

    def forget(self) -> None:
        """Start anew."""
        self._state: tuple | None = None
        self._cond: Tensor | None = None
        self._cond_parts: list[Tensor] = []
        self._time_parts: dict[float, list[Tensor]] = {}

    def __call__(self, timestep: Tensor, cond: Tensor) -> list[Tensor]:
        """The output (B, 2 C) of each layer, for timesteps (B,) and conditions (B, F) without their embedding."""
        # Most in-place changes increment a tensor's version; moving or casting a module changes its weights' storage.
        state = (
            torch.is_autocast_enabled(cond.device.type),
            *((w.data_ptr(), 0 if w.is_inference() else w._version) for w in self._weights),
        )
        if state != self._state:
            self.forget()
            self._state = state
        if cond is not self._cond:
            self._cond_parts = self._compute_cond_parts(cond)
            self._cond = cond
        return [a + b for a, b in zip(self._time_parts_of(timestep), self._cond_parts, strict=True)]

    def uncached(self, timestep: Tensor, cond: Tensor) -> list[Tensor]:
        """The same for an exported graph, in which a constant timestep (1,) makes its part a constant."""
        parts = zip(self._compute_time_parts(timestep), self._compute_cond_parts(cond), strict=True)
        return [a + b for a, b in parts]

    def _compute_cond_parts(self, cond: Tensor) -> list[Tensor]:
        feature = F.mish(cond)
        return [F.linear(feature, layer.weight[:, self._width :]) for layer in self._layers]

    def _time_parts_of(self, timestep: Tensor) -> list[Tensor]:
        # Reading a value from an accelerator would synchronize, which takes longer than recomputing.
        same = timestep.device.type == "cpu" and bool((timestep == timestep[0]).all())
        if not same:
            return self._compute_time_parts(timestep)
        value = timestep[0].item()
        if value not in self._time_parts:
            if len(self._time_parts) == MOST_TIMES:
                self._time_parts.clear()
            self._time_parts[value] = self._compute_time_parts(timestep[:1])
        return self._time_parts[value]

    def _compute_time_parts(self, timestep: Tensor) -> list[Tensor]:
        feature = F.mish(self._step_encoder(timestep))
        return [F.linear(feature, layer.weight[:, : self._width], layer.bias) for layer in self._layers]
