"""A cache of a frozen encoder's features of a dataset, so that it encodes each training window only once."""

from collections.abc import Callable

import torch
from torch import Tensor


class FeatureMemory:
    """Cache of condition vectors, indexed by their frame in the dataset.

    It is not part of a checkpoint: a resumed training run fills it again.

    Args:
        frames: Number of frames N of the dataset.
        cond_dim: Size F of a condition.
    """

    def __init__(self, frames: int, cond_dim: int):
        self._shape = frames, cond_dim
        self._stored: tuple[Tensor, Tensor] | None = None

    def recall(self, index: Tensor, encode: Callable[[int], Tensor]) -> Tensor:
        """Conditions (B, F) of a batch.

        New rows are encoded one by one, because rounding depends on the batch: a resumed run, which sees a row in
        another batch, would otherwise not reproduce the uninterrupted one.

        Args:
            index: Frames (B,), int64.
            encode: Computes the condition (1, F) of one row of this batch.
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
