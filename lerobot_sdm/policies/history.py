"""State of an acting policy: the last time steps, and the actions planned from them."""

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
    """The last `n_obs_steps` time steps of an episode, oldest first, and the remaining actions of the planned chunk.

    Attributes:
        frames: Observations, each entry (B, ...); empty before the first one, then always `n_obs_steps` of them.
        planned: Actions (B, A) that are yet to be executed.
    """

    def __init__(self, n_obs_steps: int):
        self._n_obs_steps = n_obs_steps
        self.frames: deque[Observation] = deque(maxlen=n_obs_steps)
        self.planned: deque[Tensor] = deque()
        self._memory = FrameMemory()

    def add(self, frame: Observation) -> None:
        """Add a time step; the first one of an episode is repeated to fill the history.

        Raises:
            InputError: Its batch size differs from the previous time step's.
        """
        size, before = (len(seen[OBS_STATE]) for seen in (frame, self.frames[-1] if self.frames else frame))
        if size != before:
            raise InputError(
                f"observation: its batch size is {size}, but that of the previous time step was {before}, so the "
                "planned actions belong to other robots. Call reset() between episodes."
            )
        self.frames.extend([frame] * (1 if self.frames else self._n_obs_steps))

    def ends_with(self, frame: Observation) -> bool:
        """Whether this is the last time step."""
        return bool(self.frames) and all(torch.equal(value, self.frames[-1][key]) for key, value in frame.items())

    def condition(self, model: FrameEncoder) -> Tensor:
        """Condition vectors (B, F) of the time steps; each time step is encoded only once."""
        return self._memory.condition(model, self.frames, OBS_STATE)

    def window(self) -> Observation:
        """The time steps stacked, each entry (B, n_obs_steps, ...); clouds are filled up to the largest one's size."""
        frames = list(self.frames)
        if POINT_CLOUD in frames[0]:
            most = max(frame[POINT_CLOUD].shape[-2] for frame in frames)
            frames = [{**frame, POINT_CLOUD: filled_up(frame[POINT_CLOUD], most)} for frame in frames]
        return {key: torch.stack([frame[key] for frame in frames], dim=1) for key in frames[0]}


def filled_up(cloud: Tensor, points: int) -> Tensor:
    """Repeat a cloud's (..., N, C) points from the first on until it has `points` of them (at least N)."""
    return cloud[..., torch.arange(points, device=cloud.device) % cloud.shape[-2], :]
