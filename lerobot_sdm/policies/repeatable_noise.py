"""Random numbers that are the same in a resumed run as in an uninterrupted one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


class RepeatableNoise:
    """Policy mixin: generators whose numbers depend only on seed, step and process rank.

    Attributes:
        noise_seed: Seed of the run.
        train_step: Number of completed training steps.
    """

    noise_seed: int
    train_step: int

    def training_noise_generator(self, device: torch.device) -> torch.Generator:
        """A generator for one training step, seeded only by the run's seed, the step and the process rank.

        The global generator would not work: on resume LeRobot restores it before the data loader draws from it, so
        a resumed run would see different noise than an uninterrupted one.
        """
        return torch.Generator(device=device).manual_seed(self._step_seed())

    def training_noise(self, actions: Tensor) -> tuple[Tensor, torch.Generator]:
        """Standard normal noise like the actions (B, T, A) of a training step, and its generator for further draws."""
        generator = self.training_noise_generator(actions.device)
        return torch.randn(actions.shape, generator=generator, device=actions.device, dtype=actions.dtype), generator

    @contextmanager
    def repeatable_global_noise(self, device: torch.device) -> Iterator[None]:
        """Context for code that can only draw from torch's global generator, such as dropout and random crops: there,
        too, a training step's numbers depend only on seed, step and rank. Restores the global generator afterwards."""
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self._step_seed(stream=1))
            yield

    @torch.compiler.disable  # The compiler translates NumPy to torch, which lacks some of its arithmetic.
    def _step_seed(self, stream: int | None = None) -> int:
        """Seed of this step and process; streams are independent of each other."""
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if distributed else 0
        key = () if stream is None else (stream,)
        sequence = np.random.SeedSequence([self.noise_seed, self.train_step, rank], spawn_key=key)
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
