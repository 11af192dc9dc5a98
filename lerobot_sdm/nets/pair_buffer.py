"""A buffer of teacher samples, so that each can be used more than once."""

import torch
from torch import Tensor, nn


class PairBuffer(nn.Module):
    """Ring buffer of the most recent (condition, start noise, teacher sample) triples.

    The teacher's ten evaluations for one sample cost several times as much as the student's step. This is a module only
    to be moved between devices and saved like one; it has no parameters.

    Args:
        capacity: Number of triples N.
        cond_dim: Size F of a condition.
        action_shape: Shape (T, A) of start noise and sample.
    """

    cond: Tensor
    noise: Tensor
    target: Tensor
    added: Tensor

    def __init__(self, capacity: int, cond_dim: int, action_shape: tuple[int, int]):
        super().__init__()
        self.register_buffer("cond", torch.zeros(capacity, cond_dim))
        self.register_buffer("noise", torch.zeros(capacity, *action_shape))
        self.register_buffer("target", torch.zeros(capacity, *action_shape))
        self.register_buffer("added", torch.zeros((), dtype=torch.int64))

    def add(self, cond: Tensor, noise: Tensor, target: Tensor) -> None:
        """Replace the oldest triples with new ones, the last N of them: (B, F), (B, T, A), (B, T, A)."""
        capacity = len(self.cond)
        cond, noise, target = (values[-capacity:] for values in (cond, noise, target))
        slots = (self.added + torch.arange(len(cond), device=cond.device)) % capacity
        for store, values in ((self.cond, cond), (self.noise, noise), (self.target, target)):
            store[slots] = values.to(store.dtype)
        self.added += len(cond)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw triples uniformly, with replacement: (count, F), (count, T, A), (count, T, A)."""
        filled = min(int(self.added), len(self.cond))
        chosen = torch.randint(filled, (count,), generator=generator, device=self.cond.device)
        return self.cond[chosen], self.noise[chosen], self.target[chosen]
