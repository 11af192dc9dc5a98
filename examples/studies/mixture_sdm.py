"""SDM on the mixture of mixture_training.py: one training whose parts can be weighed."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from mixture_training import ALPHA_BAR, COND, START, A, Net, Run, T, ddim
from torch import Tensor
from torch.nn import functional as F

from lerobot_sdm.diffusion.distance import regression_loss
from lerobot_sdm.diffusion.distribution_matching import distribution_matching_gradient, surrogate_loss
from lerobot_sdm.diffusion.energy_score import energy_score
from lerobot_sdm.diffusion.schedules import add_noise, ddim_timesteps
from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.nets.pair_buffer import PairBuffer
from lerobot_sdm.optim import PerGroupAdamW, cosine_factor


@dataclass(frozen=True)
class Parts:
    """What a student learns from, and how; the fields of `SDMConfig` as far as they have one.

    Args:
        steps: Iterations.
        warmup: Share of the training with regression alone.
        regression: Weight of the regression afterwards.
        anneal: Lower that weight to 0 by the end.
        data: Weight of the energy score.
        data_samples: Samples per condition for it.
        matching: Weight of score matching; 0 trains no critic.
        ratio: Generator updates after the warm-up in every ratio-th iteration, if there is a critic.
        weighting: See `distribution_matching_gradient`.
        floor: See there.
        levels: Number of noise levels; 0 for all.
        levels_per_sample: Noise levels at which each sample is matched.
        falling: Match at the noisier half of the levels first, at the other half in the second half of the matching.
        critic_lead: Share of the training by which the critic starts before the warm-up ends.
        critic_average: Match with the critic's EMA of decay 0.95.
        lr: Learning rate of the generator.
        critic_lr: Learning rate of the critic.
        start: Timestep at which the generator is conditioned.
    """

    steps: int = 4000
    warmup: float = 0.4
    regression: float = 1.0
    anneal: bool = False
    data: float = 0.0
    data_samples: int = 2
    matching: float = 0.0
    ratio: int = 5
    weighting: str = "per_sample"
    floor: float = 0.5
    levels: int = 0
    levels_per_sample: int = 1
    falling: bool = False
    critic_lead: float = 0.1
    critic_average: bool = False
    lr: float = 2e-3
    critic_lr: float = 5e-4
    start: int = START


class Student:
    """A generator in training.

    Args:
        run: Mixture, sizes and noise.
        teacher: Where generator and critic start from.
        parts: What it learns from.
    """

    def __init__(self, run: Run, teacher: Net, parts: Parts):
        self.run, self.teacher, self.parts = run, teacher, parts
        self.generator = deepcopy(teacher).requires_grad_(True)
        self.critic = deepcopy(teacher).requires_grad_(True)
        self.average, self.critic_average = deepcopy(teacher), deepcopy(teacher)
        self.pairs = PairBuffer(16384, COND, (T, A))
        self.step = self.turns = 0
        self.optimizer = PerGroupAdamW(
            [
                {"params": list(net.parameters()), "lr": rate, "max_norm": 1.0}
                for net, rate in ((self.generator, parts.lr), (self.critic, parts.critic_lr))
            ],
            betas=(0.9, 0.99),
            weight_decay=1e-6,
        )

    def train(self) -> Net:
        """Returns the generator's EMA."""
        while self.step < self.parts.steps:
            self.iterate(self.step / self.parts.steps)
            self.step += 1
        return self.average

    def iterate(self, share: float) -> None:
        """One iteration, a share of 0 to 1 of the way through the training."""
        parts = self.parts
        warm = share < parts.warmup
        turn = warm or not parts.matching or self.step % parts.ratio == 0
        weight = 1.0 if warm else parts.regression
        if parts.anneal and not warm:
            weight *= (1 - share) / (1 - parts.warmup)
        cond, noise, target = self._starts(weight > 0)
        with torch.set_grad_enabled(turn):
            actions = self._generate(noise, cond)
        losses = []
        if turn and target is not None:
            losses.append(weight * regression_loss(actions, target, 0.03))
        if turn and not warm and parts.data:
            losses.append(parts.data * self._data_loss())
        if turn and not warm and parts.matching:
            losses.append(parts.matching * self._matching_loss(actions, cond, share))
        if parts.matching and share >= parts.warmup - parts.critic_lead:
            x_t, t = self._diffuse(actions.detach(), share)
            losses.append(F.mse_loss(self.critic(x_t, t, cond=cond), actions.detach()))
        self.optimizer.param_groups[0]["lr"] = parts.lr * cosine_factor(round(1e4 * share), 200, 10_000, 0.05)
        self.optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        self.optimizer.step()
        update_average(self.critic_average, self.critic, 0.95 if parts.critic_average else 0.0)
        if turn:
            update_average(self.average, self.generator, warmup_decay(self.turns, max_decay=0.995))
            self.turns += 1

    def _starts(self, regress: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """Conditions, start noise and, for the regression, the teacher's samples, each used eight times."""
        if not regress:
            return self.run.conditions(), self.run.noise(), None
        if self.step % 8 == 0:
            cond, noise = self.run.conditions(), self.run.noise()
            self.pairs.add(cond, noise, ddim(self.teacher, noise, cond))
        return self.pairs.draw(self.run.size.batch, self.run.random)

    def _generate(self, noise: Tensor, cond: Tensor) -> Tensor:
        return self.generator(noise, torch.full((len(noise),), self.parts.start), cond=cond)

    def _data_loss(self) -> Tensor:
        cond, count = self.run.conditions(), self.parts.data_samples
        noise = torch.randn(count * len(cond), T, A, generator=self.run.random)
        samples = self._generate(noise, cond.repeat(count, 1)).unflatten(0, (count, -1))
        return energy_score(samples, self.run.mixture.sample(cond, self.run.random)).mean()

    def _matching_loss(self, actions: Tensor, cond: Tensor, share: float) -> Tensor:
        parts, many = self.parts, self.parts.levels_per_sample
        with torch.no_grad():
            x, c = actions.repeat(many, 1, 1), cond.repeat(many, 1)
            x_t, t = self._diffuse(x, share)
            real, fake = self.teacher(x_t, t, cond=c), self.critic_average(x_t, t, cond=c)
            gradient = distribution_matching_gradient(
                x, x_t, real, fake, ALPHA_BAR[t], parts.weighting, floor=parts.floor
            )
        return surrogate_loss(actions, gradient.unflatten(0, (many, -1)).mean(0))

    def _diffuse(self, x: Tensor, share: float) -> tuple[Tensor, Tensor]:
        parts, random = self.parts, self.run.random
        levels = torch.tensor(ddim_timesteps(100, parts.levels)) if parts.levels else torch.arange(2, 98)
        if parts.falling:
            high = share < (1 + parts.warmup) / 2
            levels = levels[levels >= 50] if high else levels[levels < 50]
        t = levels[torch.randint(len(levels), (len(x),), generator=random)]
        return add_noise(x, torch.randn(x.shape, generator=random), ALPHA_BAR[t]), t
