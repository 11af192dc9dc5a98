"""What a frozen encoder makes of a dataset, remembered, so that it sees every training window once."""

from collections.abc import Callable

import torch
from torch import Tensor


class FeatureMemory:
    """Condition vectors by the index of their frame in the dataset.

    No part of a checkpoint: a resumed training fills it again.

    Args:
        frames: Frames N of the dataset.
        cond_dim: Size F of a condition.
    """

    def __init__(self, frames: int, cond_dim: int):
        self._shape = frames, cond_dim
        self._stored: tuple[Tensor, Tensor] | None = None

    def recall(self, index: Tensor, encode: Callable[[int], Tensor]) -> Tensor:
        """Conditions (B, F) of a batch.

        What is new is encoded row by row: in company a row would be rounded otherwise, so that a training that was
        resumed, and met it in other company, would not repeat the uninterrupted one.

        Args:
            index: Frames (B,), int64.
            encode: Gives the condition (1, F) of one row of this batch.
        """
        if self._stored is None:
            first = encode(0)
            self._stored = (
                torch.empty(self._shape, dtype=first.dtype, device=first.device),
                torch.zeros(self._shape[0], dtype=torch.bool, device=first.device),
            )
        features, known = self._stored
        for row in (~known[index]).nonzero().flatten().tolist():
            features[index[row]] = encode(row)[0]
        known[index] = True
        return features[index]
