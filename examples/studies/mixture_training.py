"""The mixture, the networks and the trainings of the study in gaussian_mixture.py."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from lerobot.policies.diffusion.modeling_diffusion import DiffusionSinusoidalPosEmb
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from lerobot_sdm.diffusion import karras
from lerobot_sdm.diffusion.consistency_distillation import consistency_distillation_loss
from lerobot_sdm.diffusion.ctm import chained_jumps, ctm_loss, draw_times, dsm_sigmas, estimate, jump
from lerobot_sdm.diffusion.predictions import read_out
from lerobot_sdm.diffusion.samplers import ddim_sample
from lerobot_sdm.diffusion.schedules import add_noise, alphas_cumprod, ddim_timesteps
from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.optim import cosine_factor

T, A, COND = 4, 4, 4
LEVELS = karras.NoiseLevels(bins=20)
"""Fewer bins than a policy has: what a consistency model knows at little noise wanders up bin by bin, and these
trainings are short."""
ALPHA_BAR = alphas_cumprod(100)
START = 70
"""SDM's default `generator_timestep`."""


@dataclass(frozen=True)
class Size:
    """How much is trained and measured: steps of each training, their batch, and the width of the networks."""

    teacher: int = 2500
    sdm: int = 4000
    manicm: int = 1500
    ctm: int = 1500
    batch: int = 128
    width: int = 160
    conditions: int = 48
    samples: int = 64


class Mixture:
    """p(x | c) = (N(m + h, s^2) + N(m - h, s^2)) / 2 over x (T, A), where center m and half distance h depend on c.

    The modes lie 2 |h| = 3.5 apart and have s = 0.05, so that they never touch.
    """

    std, half, cond_dim = 0.05, 1.76, COND

    def __init__(self, seed: int):
        generator = torch.Generator().manual_seed(seed)
        self.center, self.direction = torch.randn(2, COND + 1, T * A, generator=generator)

    def modes(self, cond: Tensor) -> Tensor:
        """The two means: cond (B, COND) -> (B, 2, T, A)."""
        inputs = torch.cat([cond, torch.ones_like(cond[:, :1])], 1)
        center = 0.4 * torch.tanh(inputs @ self.center)
        half = self.half * F.normalize(inputs @ self.direction, dim=1)
        return torch.stack([center + half, center - half], 1).unflatten(2, (T, A))

    def sample(self, cond: Tensor, generator: torch.Generator) -> Tensor:
        """One sample for each condition: (B, T, A)."""
        which = torch.randint(2, (len(cond),), generator=generator)
        mean = self.modes(cond)[torch.arange(len(cond)), which]
        return mean + self.std * torch.randn(mean.shape, generator=generator)

    def posterior_mean(self, x: Tensor, cond: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """E[x_0 | signal x_0 + noise eps = x]: the perfect denoiser, for either kind of schedule.

        Args:
            x: Noisy samples (B, T, A).
            cond: (B, COND).
            signal: Factor of the signal (B,).
            noise: Standard deviation of the noise (B,).
        """
        a, b = signal.view(-1, 1, 1, 1), noise.view(-1, 1, 1, 1)
        means, variance = self.modes(cond), a**2 * self.std**2 + b**2
        error = x.unsqueeze(1) - a * means
        weight = torch.softmax(-(error**2 / (2 * variance)).sum((2, 3)), dim=1).view(-1, 2, 1, 1)
        return (weight * (means + a * self.std**2 / variance * error)).sum(1)


class Net(nn.Module):
    """Four layers on samples, time, condition and, with `stop`, a stop time whose weights begin at zero."""

    def __init__(self, width: int, stop: bool = False):
        super().__init__()
        self.embed = DiffusionSinusoidalPosEmb(32)
        self.enter = nn.Linear(T * A + 32 + COND, width)
        self.stop = nn.Linear(32, width, bias=False) if stop else None
        if stop:
            nn.init.zeros_(self.stop.weight)
        self.layers = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, T * A)
        )

    def forward(self, x: Tensor, t: Tensor, s: Tensor | None = None, *, cond: Tensor) -> Tensor:
        hidden = self.enter(torch.cat([x.flatten(1), self.embed(t.float()), cond], 1))
        if self.stop is not None:
            hidden = hidden + self.stop(self.embed(s))
        return self.layers(hidden).view_as(x)


class Run:
    """Trainings with one seed, each of which gives a network; what is trained is kept in a folder.

    Args:
        mixture: The true distribution.
        size: How much is trained.
        seed: Of start weights and noise.
        folder: Where finished networks are kept, and found again.
    """

    def __init__(self, mixture: Mixture, size: Size, seed: int, folder: Path):
        self.mixture, self.size, self.seed, self.folder = mixture, size, seed, folder
        self.random = torch.Generator()

    def kept(self, name: str, train: Callable[[], Net], stop: bool = False) -> Net:
        """The network of this name from the folder, or else trained: with random numbers of its own, so that it does
        not matter what was trained before."""
        file = self.folder / f"{name}.safetensors"
        if not file.exists():
            for generator in (self.random, torch.default_generator):
                generator.manual_seed(zlib.crc32(f"{self.seed} {name}".encode()))
            unfinished = file.with_suffix(".unfinished")
            save_file(train().state_dict(), unfinished)
            unfinished.rename(file)
        net = Net(self.size.width, stop).requires_grad_(False)
        net.load_state_dict(load_file(file))
        return net

    def conditions(self) -> Tensor:
        return torch.randn(self.size.batch, COND, generator=self.random)

    def noise(self) -> Tensor:
        return torch.randn(self.size.batch, T, A, generator=self.random)

    def fit(
        self,
        name: str,
        net: nn.Module,
        loss: Callable[[int], Tensor],
        steps: int,
        lr: float,
        after: Callable = lambda: 0,
    ) -> nn.Module:
        """AdamW on a cosine; returns the network's moving average."""
        average = deepcopy(net).requires_grad_(False)
        optimizer = torch.optim.AdamW(net.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=1e-6, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: cosine_factor(i, 100, steps, 0.02))
        for step in tqdm(range(steps), name, leave=False):
            optimizer.zero_grad()
            loss(step).backward()
            optimizer.step()
            schedule.step()
            update_average(average, net, warmup_decay(step, max_decay=0.995))
            after()
        return average

    # ---- variance preserving ---------------------------------------------------------------------------

    def teacher(self) -> Net:
        """x_0-prediction under DP3's schedule."""
        net = Net(self.size.width)

        def loss(_: int) -> Tensor:
            cond, noise = self.conditions(), self.noise()
            x0 = self.mixture.sample(cond, self.random)
            t = torch.randint(len(ALPHA_BAR), (len(cond),), generator=self.random)
            return F.mse_loss(net(add_noise(x0, noise, ALPHA_BAR[t]), t, cond=cond), x0)

        return self.fit("teacher", net, loss, self.size.teacher, 2e-3)

    def manicm(self, teacher: Net, timesteps: list[int]) -> Net:
        """Consistency distillation between neighbors of `timesteps`, the target an average of decay 0.95."""
        student, target = deepcopy(teacher).requires_grad_(True), deepcopy(teacher)

        def loss(_: int) -> Tensor:
            cond, noise = self.conditions(), self.noise()
            level = torch.randint(len(timesteps), (len(cond),), generator=self.random)
            return consistency_distillation_loss(
                partial(student, cond=cond),
                partial(target, cond=cond),
                lambda x, t: read_out(teacher(x, t, cond=cond), x, ALPHA_BAR[t], "sample"),
                self.mixture.sample(cond, self.random),
                noise,
                level,
                timesteps,
                ALPHA_BAR,
                clip=None,
                delta=0.03,
            )

        follow = lambda: update_average(target, student, 0.95)  # noqa: E731
        return self.fit("manicm", student, loss, self.size.manicm, 1e-3, follow)

    # ---- Karras ----------------------------------------------------------------------------------------

    def edm(self) -> Net:
        """The preconditioned teacher."""
        net = Net(self.size.width)

        def loss(_: int) -> Tensor:
            cond, noise = self.conditions(), self.noise()
            x0 = self.mixture.sample(cond, self.random)
            sigma = karras.log_normal_sigmas(len(cond), -1.2, 1.2, self.random)
            return karras.denoising_loss(
                edm_denoise(net, karras.add_noise(x0, noise, sigma), sigma, cond), x0, sigma, LEVELS, "mse"
            )

        return self.fit("edm", net, loss, self.size.teacher, 2e-3)

    def ctm(self, teacher: Net, dsm_by: str = "estimate") -> Net:
        """Consistency trajectories with denoising beside, warm-started; the target a copy of the student."""
        student = Net(self.size.width, stop=True)
        student.load_state_dict(teacher.state_dict(), strict=False)
        target = deepcopy(student).requires_grad_(False)

        def loss(_: int) -> Tensor:
            cond, noise = self.conditions(), self.noise()
            x0 = self.mixture.sample(cond, self.random)
            consistency = ctm_loss(
                partial(ctm_jump, student, cond=cond),
                partial(ctm_jump, target, cond=cond),
                partial(edm_denoise, teacher, cond=cond),
                x0,
                noise,
                draw_times(len(cond), LEVELS, 1, self.random),
                LEVELS,
            )
            sigma = dsm_sigmas(len(cond), LEVELS, -1.2, 1.2, self.random)
            denoiser = {
                "estimate": lambda x, sigma: estimate(partial(student, cond=cond), x, sigma, sigma, LEVELS),
                "jump": lambda x, sigma: ctm_jump(student, x, sigma, torch.full_like(sigma, LEVELS.sigma_min), cond),
            }[dsm_by]
            denoised = denoiser(karras.add_noise(x0, self.noise(), sigma), sigma)
            return consistency + karras.denoising_loss(denoised, x0, sigma, LEVELS, "mse")

        follow = lambda: update_average(target, student, 0.0)  # noqa: E731
        return self.fit("ctm", student, loss, self.size.ctm, 1e-3, follow)


def ddim(net: Callable, noise: Tensor, cond: Tensor, steps: int = 10, start: int | None = None) -> Tensor:
    """DDIM with a network, or with anything that is called like one."""
    return ddim_sample(
        partial(net, cond=cond), noise, ddim_timesteps(100, steps, "trailing", start), ALPHA_BAR, clip=None
    )


def edm_denoise(net: Net, x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
    return karras.denoise(partial(net, cond=cond), x, sigma, LEVELS)


def ctm_jump(net: Net, x: Tensor, t: Tensor, s: Tensor, cond: Tensor) -> Tensor:
    return jump(partial(net, cond=cond), x, t, s, LEVELS)


def heun(denoiser: Callable, noise: Tensor, cond: Tensor, steps: int, std: float = LEVELS.sigma_max) -> Tensor:
    """Heun's method from start noise of a standard deviation."""
    return karras.sample(partial(denoiser, cond=cond), std * noise, karras.sampler_sigmas(steps, LEVELS))


def chain(net: Net, noise: Tensor, cond: Tensor, bins: Iterable[int] = (), std: float = LEVELS.sigma_max) -> Tensor:
    """A CTM student's jumps."""
    stops = karras.sigma_of_bin(torch.tensor(list(bins)), LEVELS).tolist()
    return chained_jumps(partial(ctm_jump, net, cond=cond), std * noise, stops, LEVELS, clip=None)
