"""One optimizer for several networks: AdamW and a cosine schedule with settings per parameter group.

LeRobot's training loop steps one optimizer on one loss, clips all gradients jointly and scales all learning rates
alike. Two networks that are trained against each other each need their own clipping norm, learning rate and warm-up.
These settings live in the parameter groups that a policy's `get_optim_params` returns; `grad_clip_norm=0` turns off
LeRobot's joint clipping.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lerobot.optim.optimizers import OptimizerConfig
from lerobot.optim.schedulers import LRSchedulerConfig
from torch.optim.lr_scheduler import LambdaLR

from lerobot_sdm.registration import registered


class PerGroupAdamW(torch.optim.AdamW):
    """AdamW that clips the gradients of each parameter group to the group's own `max_norm` (0 for none).

    AdamW skips a group without gradients; its moments do not change.
    """

    def step(self, closure: Any = None) -> Any:
        # Of a fused optimizer, torch's GradScaler leaves the unscaling to the kernel, which runs after the clipping.
        scale = getattr(self, "grad_scale", None)
        for group in self.param_groups:
            if group.get("max_norm", 0) > 0:
                limit = group["max_norm"] * (1.0 if scale is None else float(scale))
                torch.nn.utils.clip_grad_norm_(group["params"], limit)
        return super().step(closure)


@registered(OptimizerConfig, "adamw_per_group")
@dataclass
class PerGroupAdamWConfig(OptimizerConfig):
    """AdamW with gradient clipping per parameter group.

    Args:
        lr: Learning rate of groups that do not set their own.
        betas: AdamW's betas of groups that do not set their own.
        eps: AdamW's epsilon.
        weight_decay: AdamW's weight decay.
        grad_clip_norm: LeRobot's joint clipping; 0 leaves clipping to the groups' `max_norm`.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-6
    grad_clip_norm: float = 0.0

    def build(self, params: Any) -> PerGroupAdamW:
        """Args: params: a list of parameter groups, which may hold `lr`, `betas`, `max_norm`, `first_step`,
        `warmup_steps`, `final_lr_ratio`."""
        return PerGroupAdamW(
            params, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=True
        )


@registered(LRSchedulerConfig, "cosine_per_group")
@dataclass
class PerGroupCosineConfig(LRSchedulerConfig):
    """Linear warm-up and cosine decay, with each parameter group's own `warmup_steps` and `final_lr_ratio`, both from
    the group's `first_step`: a network that joins later warms up when it does.

    Args:
        num_warmup_steps: Warm-up steps of groups that do not set their own.
        final_lr_ratio: Final learning rate as a fraction of the initial one, for groups that do not set their own.
    """

    num_warmup_steps: int | None = 0
    final_lr_ratio: float = 0.0

    def build(self, optimizer: torch.optim.Optimizer, num_training_steps: int) -> LambdaLR:
        """One multiplier per parameter group; see `cosine_factor`."""
        default = self.num_warmup_steps or 0

        def factor_of(number: int) -> Callable[[int], float]:
            # A plain function: the state of others is saved with the schedule's, which earlier checkpoints lack.
            def factor(step: int) -> float:
                group = optimizer.param_groups[number]  # Read now: a resumed training replaces the groups.
                warmup, final = group.get("warmup_steps", default), group.get("final_lr_ratio", self.final_lr_ratio)
                first = group.get("first_step", 0)
                return cosine_factor(max(0, step - first), warmup, num_training_steps - first, final)

            return factor

        return LambdaLR(optimizer, [factor_of(number) for number in range(len(optimizer.param_groups))])


def cosine_factor(step: int, warmup: int, total: int, final: float = 0.0) -> float:
    """Learning-rate multiplier: linear from 0 to 1 over `warmup` steps, then a half cosine down to `final`."""
    if step < warmup:
        return step / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
