"""Settings of AdamW for all of a policy's parameters, with a learning-rate schedule from diffusers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lerobot.optim.optimizers import AdamWConfig, OptimizerConfig
from lerobot.optim.schedulers import DiffuserSchedulerConfig, LRSchedulerConfig
from torch.nn import Parameter


@dataclass
class OptimizerSettings:
    """Optimizer settings of a policy with a single learning rate; a mixin for its configuration.

    Args:
        optimizer_lr: Learning rate.
        optimizer_betas: AdamW's betas.
        optimizer_eps: AdamW's epsilon.
        optimizer_weight_decay: AdamW's weight decay.
        optimizer_grad_clip_norm: Joint gradient norm at which LeRobot clips; 0 for no clipping, as released.
        scheduler_name: Learning-rate schedule, by its diffusers name.
        scheduler_warmup_steps: Linear warm-up, in optimizer steps.
    """

    optimizer_lr: float = 1e-4
    optimizer_betas: tuple[float, float] = (0.95, 0.999)
    optimizer_eps: float = 1e-8
    optimizer_weight_decay: float = 1e-6
    optimizer_grad_clip_norm: float = 0.0
    scheduler_name: str = "cosine"
    scheduler_warmup_steps: int = 500

    def get_optimizer_preset(self) -> OptimizerConfig:
        return AdamWConfig(
            lr=self.optimizer_lr,
            betas=self.optimizer_betas,
            eps=self.optimizer_eps,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> LRSchedulerConfig | None:
        return DiffuserSchedulerConfig(name=self.scheduler_name, num_warmup_steps=self.scheduler_warmup_steps)


def one_group(parameters: Iterable[Parameter]) -> list[dict[str, Any]]:
    """The parameters as AdamW's only group, which its fused kernel updates: one by one, a hundred small tensors take
    longer than their arithmetic on a CPU."""
    return [{"params": list(parameters), "fused": True}]
