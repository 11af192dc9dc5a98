"""Recipes of SDM on the mixture, each part of which can be left out."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass

import torch
from mixture_training import ALPHA_BAR, COND, START, A, Mixture, Net, Run, T, ddim
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lerobot_sdm.diffusion.distribution_matching import distribution_matching_gradient, surrogate_loss
from lerobot_sdm.diffusion.energy_score import energy_score
from lerobot_sdm.diffusion.regression import regression_loss
from lerobot_sdm.diffusion.schedules import add_noise, ddim_timesteps
from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.nets.pair_buffer import PairBuffer
from lerobot_sdm.optim import PerGroupAdamW, cosine_factor


@dataclass(frozen=True)
class Recipe:
    seconds: float = 10.0
    """Processor time."""
    warmup: float = 0.4
    """Share of the time with regression alone."""
    regression: float = 1.0
    anneal: bool = False
    data: float = 0.0
    samples: int = 2
    matching: float = 0.0
    ratio: int = 1
    """Matching in every ratio-th iteration."""
    weighting: str = "per_sample"
    floor: float = 0.5
    levels: int | None = None
    lr: float = 2e-3
    critic_lr: float = 5e-4
    lead: float = 0.0
    """Share of the time by which the critic starts before the warm-up ends."""
    final: float = 0.05
    generator_every: int = 1
    """Generator update in every n-th iteration after the warm-up."""


def distill(run: Run, teacher: Net, recipe: Recipe, name: str) -> tuple[Net, dict]:
    size, random = run.size, run.random
    generator, fake = deepcopy(teacher).requires_grad_(True), deepcopy(teacher).requires_grad_(True)
    average, pairs = deepcopy(teacher), PairBuffer(16384, COND, (T, A))
    groups = [
        {"params": list(net.parameters()), "lr": rate, "max_norm": 1.0}
        for net, rate in ((generator, recipe.lr), (fake, recipe.critic_lr))
    ]
    optimizer = PerGroupAdamW(groups, betas=(0.9, 0.99), weight_decay=1e-6)
    chosen = None if recipe.levels is None else torch.tensor(ddim_timesteps(100, recipe.levels))

    def diffuse(x: Tensor) -> tuple[Tensor, Tensor]:
        if chosen is None:
            t = torch.randint(2, 98, (len(x),), generator=random)
        else:
            t = chosen[torch.randint(len(chosen), (len(x),), generator=random)]
        return add_noise(x, torch.randn(x.shape, generator=random), ALPHA_BAR[t]), t

    start, step, turns = time.process_time(), 0, 0
    while (share := (time.process_time() - start) / recipe.seconds) < 1:
        warm = share < recipe.warmup
        turn = warm or step % recipe.generator_every == 0
        matching = turn and not warm and recipe.matching > 0 and turns % recipe.ratio == 0
        critic = recipe.matching > 0 and share >= recipe.warmup - recipe.lead
        weight = 1.0 if warm else recipe.regression
        if recipe.anneal and not warm:
            weight *= 1 - (share - recipe.warmup) / (1 - recipe.warmup)
        losses = []
        if step % 8 == 0 and (weight > 0 or warm):
            cond, noise = run.conditions(), run.noise()
            pairs.add(cond, noise, ddim(teacher, noise, cond))
        if weight > 0 or warm:
            cond, noise, target = pairs.draw(size.batch, random)
        else:
            cond, noise, target = run.conditions(), run.noise(), None
        full = torch.full((len(noise),), START)
        with torch.set_grad_enabled(turn):
            actions = generator(noise, full, cond=cond)
        if turn and target is not None:
            losses.append(weight * regression_loss(actions, target, 0.03))
        if turn and not warm and recipe.data > 0:
            own = run.conditions()
            many = own.repeat(recipe.samples, 1)
            z = torch.randn(len(many), T, A, generator=random)
            drawn = generator(z, torch.full((len(z),), START), cond=many).unflatten(0, (recipe.samples, -1))
            losses.append(recipe.data * energy_score(drawn, run.mixture.sample(own, random)).mean())
        if matching:
            with torch.no_grad():
                x_t, t = diffuse(actions)
                real, faked = teacher(x_t, t, cond=cond), fake(x_t, t, cond=cond)
                gradient = distribution_matching_gradient(
                    actions, x_t, real, faked, ALPHA_BAR[t], recipe.weighting, floor=recipe.floor
                )
            losses.append(recipe.matching * surrogate_loss(actions, gradient))
        if critic:
            x_t, t = diffuse(actions.detach())
            losses.append(F.mse_loss(fake(x_t, t, cond=cond), actions.detach()))
        optimizer.param_groups[0]["lr"] = recipe.lr * cosine_factor(round(1e6 * share), 20000, 1_000_000, recipe.final)
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        if turn:
            update_average(average, generator, warmup_decay(turns, max_decay=0.995))
            turns += 1
        step += 1
    return average, {"steps": step, "turns": turns}
