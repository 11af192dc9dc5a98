"""Random numbers of a training step that a resumed run draws again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class RepeatableNoise:
    """A part of a policy: generators whose numbers depend on seed, step and process rank alone.

    Attributes:
        noise_seed: Of the run.
        train_step: Training steps that were taken.
    """

    noise_seed: int
    train_step: int

    def training_noise_generator(self, device: torch.device) -> torch.Generator:
        """Random numbers of one training step: a function of seed, step and process rank alone.

        The global generator would not do: on resume LeRobot restores it before the data loader draws from it, so
        a resumed run would see other noise than an uninterrupted one.
        """
        return torch.Generator(device=device).manual_seed(self._step_seed())

    @contextmanager
    def repeatable_global_noise(self, device: torch.device) -> Iterator[None]:
        """Around what can only draw from torch's global generator, such as dropout and random crops: there, too, a
        training step's numbers are a function of seed, step and rank alone. The global generator is left as it was."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self._step_seed(stream=1))
            yield

    @torch.compiler.disable  # It would become arithmetic of torch's, which lacks some of NumPy's.
    def _step_seed(self, stream: int | None = None) -> int:
        """Seed of this step and process; each stream has numbers that are independent of the others'."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        key = () if stream is None else (stream,)
        sequence = np.random.SeedSequence([self.noise_seed, self.train_step, rank], spawn_key=key)
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
