"""Base class of consistency students, which learn from a moving average of themselves."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from torch import nn

from lerobot_sdm.nets.ema import update_average
from lerobot_sdm.policies.distilled_policy import DistilledPolicy


class TargetedPolicy(DistilledPolicy):
    """A student with a *target*: an EMA of its denoiser, with `target_ema_decay`, that only training needs."""

    def add_training_modules(self) -> None:
        self.target = deepcopy(self.model.denoiser).requires_grad_(False)

    def training_modules(self) -> dict[str, nn.Module]:
        return super().training_modules() | ({"target": self.target} if self.built_for_training else {})

    def load_training_state(self, path: Path) -> set[str]:
        new = super().load_training_state(path)
        if "target" in new:
            self.target.load_state_dict(self.model.denoiser.state_dict())
        return new

    def update(self) -> None:
        update_average(self.target, self.model.denoiser, self.config.target_ema_decay)
        super().update()
