"""What a policy remembers while it acts: the last time steps, and the actions that it has planned from them."""

from __future__ import annotations

from collections import deque

import torch
from lerobot.utils.constants import OBS_STATE
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.frames import FrameEncoder, FrameMemory

Observation = dict[str, Tensor]


class History:
    """The last time steps of an episode, oldest first, and what is left of the planned chunk.

    Args:
        n_obs_steps: How many time steps a chunk is planned from.

    Attributes:
        frames: Observations, each entry (B, ...); empty before the first one, else `n_obs_steps` of them.
        planned: Actions (B, A) that are still to be executed.
    """

    def __init__(self, n_obs_steps: int):
        self._n_obs_steps = n_obs_steps
        self.frames: deque[Observation] = deque(maxlen=n_obs_steps)
        self.planned: deque[Tensor] = deque()
        self._memory = FrameMemory()

    def add(self, frame: Observation) -> None:
        """Remember a time step; the first one of an episode stands for those before it as well.

        Raises:
            InputError: It is of another number of robots than the one before.
        """
        size, before = (len(seen[OBS_STATE]) for seen in (frame, self.frames[-1] if self.frames else frame))
        if size != before:
            raise InputError(
                f"observation: its batch size is {size}, and that of the time step before was {before}, so that the "
                "planned actions belong to other robots. Call reset() between episodes."
            )
        self.frames.extend([frame] * (1 if self.frames else self._n_obs_steps))

    def ends_with(self, frame: Observation) -> bool:
        """Whether this is the last time step."""
        return bool(self.frames) and all(torch.equal(value, self.frames[-1][key]) for key, value in frame.items())

    def condition(self, model: FrameEncoder) -> Tensor:
        """Condition vectors (B, F) of the time steps; each is encoded once."""
        return self._memory.condition(model, self.frames, OBS_STATE)

    def window(self) -> Observation:
        """The time steps side by side, each entry (B, n_obs_steps, ...); the clouds with as many points as the
        largest."""
        frames = list(self.frames)
        if POINT_CLOUD in frames[0]:
            most = max(frame[POINT_CLOUD].shape[-2] for frame in frames)
            frames = [{**frame, POINT_CLOUD: filled_up(frame[POINT_CLOUD], most)} for frame in frames]
        return {key: torch.stack([frame[key] for frame in frames], dim=1) for key in frames[0]}


def filled_up(cloud: Tensor, points: int) -> Tensor:
    """A cloud (..., N, C) with so many points, its own ones again from the first on; at least N."""
    return cloud[..., torch.arange(points, device=cloud.device) % cloud.shape[-2], :]
