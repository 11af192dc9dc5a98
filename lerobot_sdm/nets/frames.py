"""Encode observations frame by frame, and each frame only once, although chunks are planned from several frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lerobot_sdm.errors import InputError


class FrameEncoder(nn.Module, ABC):
    """A network that is conditioned on the features of the last few frames.

    Attributes:
        n_obs_steps: Number of frames.
        denoiser_name: Name of the network that the condition is for, among the modules; its weights are
            `<denoiser_name>.*`.
    """

    n_obs_steps: int
    denoiser_name: str = "unet"

    @property
    def denoiser(self) -> nn.Module:
        """The network that is conditioned."""
        return self.get_submodule(self.denoiser_name)

    @abstractmethod
    def encode_frames(self, batch: dict[str, Tensor]) -> Tensor:
        """Features (B, n, F) of preprocessed observations, each (B, n, ...), of any number n of frames."""

    def encode(self, batch: dict[str, Tensor]) -> Tensor:
        """Condition vectors (B, n_obs_steps * F) of preprocessed observations (B, n_obs_steps, ...), oldest first.

        Raises:
            InputError: The batch has a different number of frames.
        """
        features = self.encode_frames(batch)
        if features.shape[1] != self.n_obs_steps:
            raise InputError(
                f"observations: {features.shape[1]} frames are not (B, {self.n_obs_steps}, ...) as "
                f"n_obs_steps={self.n_obs_steps} asks for."
            )
        return features.flatten(1)


class FrameMemory:
    """Features of the frames from which the last chunk was planned.

    Consecutive plans share frames if the policy executes fewer actions than it sees frames; and at the start of an
    episode, all frames are the first one.
    """

    def __init__(self) -> None:
        # Frames are compared by identity, so keep them alive: the address of a deleted one may be reused.
        self._known: list[tuple[Tensor, Tensor]] = []

    def condition(self, model: FrameEncoder, frames: Sequence[Mapping[str, Tensor]], key: str) -> Tensor:
        """The condition vector (B, n * F) of frames; new ones are encoded together.

        Args:
            model: The encoder; must be the same for the lifetime of this object.
            frames: n observations, oldest first, each entry (B, ...).
            key: The entry that identifies a frame: the same frame has the same tensor object.
        """
        distinct = {id(frame[key]): frame for frame in frames}
        known = {id(kept): feature for kept, feature in self._known}
        new = [frame for identity, frame in distinct.items() if identity not in known]
        # A robot's clouds may differ in their number of points; if so, encode frames one by one.
        alike = len({tuple(value.shape for value in frame.values()) for frame in new}) <= 1
        for group in [new] if alike and new else [[frame] for frame in new]:
            together = {name: torch.cat([frame[name] for frame in group]).unsqueeze(1) for name in group[0]}
            features = model.encode_frames(together).squeeze(1).chunk(len(group))
            known |= {id(frame[key]): feature for frame, feature in zip(group, features, strict=True)}
        self._known = [(frame[key], known[identity]) for identity, frame in distinct.items()]
        return torch.cat([known[id(frame[key])] for frame in frames], dim=1)
