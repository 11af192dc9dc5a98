"""Settings shared by all students of a diffusion policy: noise levels, and an optimizer for each network."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from lerobot.optim.optimizers import OptimizerConfig
from lerobot.optim.schedulers import LRSchedulerConfig

from lerobot_sdm.errors import InputError
from lerobot_sdm.optim import PerGroupAdamWConfig, PerGroupCosineConfig
from lerobot_sdm.policies.source.adapters import DIFFUSION_TYPES
from lerobot_sdm.policies.source.student_config import StudentConfig


@dataclass
class DistilledConfig(StudentConfig):
    """Settings of a policy trained from a `dp3` or a LeRobot `diffusion` policy; abstract base class.

    See `StudentConfig` for inherited fields. Each network has its own learning rate.

    Args:
        optimizer_betas: AdamW's betas.
        optimizer_eps: AdamW's epsilon.
        optimizer_weight_decay: AdamW's weight decay.
    """

    source_types: ClassVar[tuple[str, ...]] = DIFFUSION_TYPES
    retired: ClassVar[tuple[str, ...]] = ("optimizer_lr",)

    optimizer_betas: tuple[float, float] = (0.9, 0.99)
    optimizer_eps: float = 1e-8
    optimizer_weight_decay: float = 1e-6

    @cached_property
    def last_timestep(self) -> int:
        """Noisiest timestep at which the network's estimate of clean actions is used."""
        from lerobot_sdm.diffusion.predictions import last_readable_timestep
        from lerobot_sdm.diffusion.schedules import alphas_cumprod

        network = self.network_config
        betas = {name: getattr(network, name) for name in ("beta_start", "beta_end") if hasattr(network, name)}
        alphas = alphas_cumprod(network.num_train_timesteps, network.beta_schedule, **betas)
        return last_readable_timestep(alphas, getattr(network, "prediction_type", "sample"))

    def checked_timestep(self, name: str, default: int) -> int:
        """The timestep in the field `name`, or `default` if it is None.

        Raises:
            InputError: Clean actions cannot be estimated at this timestep.
        """
        t, last = getattr(self, name), self.last_timestep
        if t is None:
            return min(default, last)
        if not 0 <= t <= last:
            noisier = last < t < self.network_config.num_train_timesteps
            why = ", since this teacher predicts noise and its errors are amplified too much at noisier steps" * noisier
            raise InputError(f"--policy.{name}={t}: must lie in 0 ... {last}{why}.")
        return t

    def get_optimizer_preset(self) -> OptimizerConfig:
        return PerGroupAdamWConfig(
            betas=self.optimizer_betas, eps=self.optimizer_eps, weight_decay=self.optimizer_weight_decay
        )

    def get_scheduler_preset(self) -> LRSchedulerConfig | None:
        return PerGroupCosineConfig()
