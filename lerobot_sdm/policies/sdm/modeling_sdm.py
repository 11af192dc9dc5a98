"""Score and Distribution Matching: a diffusion policy distilled into one network evaluation.

The *teacher* R is a frozen denoiser. The *generator* G, a copy of it, maps start noise to actions in one evaluation. It
learns from up to three terms, which `SDMConfig.recipe` weighs:

* regression onto the teacher's own samples from the same start noise;
* the energy score of its samples at the demonstrated actions, which can make it better than the teacher;
* score matching (Jia et al. 2024): a *critic* F, another copy, is trained on the generator's actions and gives the
  score of their distribution, R that of the teacher's. G descends their difference, the gradient of a KL divergence.
"""

from __future__ import annotations

import logging
import math
from copy import deepcopy
from typing import Any, NamedTuple, cast

import torch
from lerobot.utils.constants import ACTION, OBS_STATE
from torch import Tensor, nn

from lerobot_sdm.diffusion.broadcasting import same_timestep
from lerobot_sdm.diffusion.distance import regression_loss
from lerobot_sdm.diffusion.distribution_matching import distribution_matching_gradient, surrogate_loss
from lerobot_sdm.diffusion.energy_score import energy_score
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.diffusion.schedules import add_noise, ddim_timesteps
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.nets.pair_buffer import PairBuffer
from lerobot_sdm.policies.chunk_policy import logged
from lerobot_sdm.policies.distilled_policy import DistilledPolicy
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.safe_files.weights import load_strictly

logger = logging.getLogger(__name__)


class Turn(NamedTuple):
    """What an iteration trains: the weight of each of the generator's terms, and whether critic and generator learn."""

    regression: float
    data: float
    matching: float
    critic: bool
    generator: bool = True


def turn_of(config: Any, step: int) -> Turn:
    """What is trained in an iteration, counted from 0, by a configuration (`SDMConfig`)."""
    matches, after = bool(config.matching_weight), step - config.warmup_steps
    critic = matches and after >= -config.critic_lead_steps
    if after < 0:
        return Turn(1.0, 0.0, 0.0, critic)
    if matches and after % config.fake_updates_per_generator_update:
        return Turn(0.0, 0.0, 0.0, critic, generator=False)
    return Turn(config.regression_weight, config.data_weight, config.matching_weight, critic)


class SDMPolicy(DistilledPolicy):
    """One-step student of a diffusion policy; see `ChunkPolicy` for the arguments."""

    config_class = SDMConfig
    name = "sdm"
    fake_score: nn.Module

    def take_weights(self, source: SourcePolicy) -> None:
        if not self.config.own_network(source.config):
            return super().take_weights(source)
        denoiser = f"{self.teacher.denoiser_name}."
        encoder = {key: value for key, value in self.teacher.state_dict().items() if not key.startswith(denoiser)}
        load_strictly(self.model, self.model.state_dict() | encoder, source.given)
        self.model.freeze_encoder()

    def add_training_modules(self) -> None:
        config = self.config
        if config.matching_weight:
            # Even if the student's network is another, its critic starts as the teacher.
            self.fake_score = deepcopy(self.teacher.denoiser).requires_grad_(True).train()
        if config.pair_reuse > 1:
            buffer = PairBuffer(config.pair_buffer_size, self.model.cond_dim, self.model.action_shape)
            self._unsynchronized = (buffer,)

    @property
    def _pairs(self) -> PairBuffer | None:
        return cast(PairBuffer | None, next(iter(self._unsynchronized), None))

    def training_modules(self) -> dict[str, nn.Module]:
        modules = super().training_modules()
        if self.built_for_training and self.config.matching_weight:
            modules["fake_score"] = self.fake_score
        if self._pairs is not None:
            modules["pairs"] = self._pairs
        return modules

    # ---- acting ----------------------------------------------------------------------------------------

    def actions_from_noise(self, model: Backbone, noise: Tensor, cond: Tensor) -> Tensor:
        return clip_sample(self._generate(model, noise, cond), model.clip_range)

    def _generate(self, model: Backbone, noise: Tensor, cond: Tensor) -> Tensor:
        """G(z): noise (B, horizon, A), cond (B, F) -> actions (B, horizon, A), not clipped."""
        return model.denoise(noise, same_timestep(self.config.generator_timestep, noise), cond).x0

    # ---- training --------------------------------------------------------------------------------------

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of this iteration's turn; see `turn_of`.

        The losses are summed: neither network has a gradient from the other's loss, and a network that is not trained
        in a step has no gradient at all, so LeRobot's single optimizer skips it. The batch's actions are used by the
        energy score alone.
        """
        config, turn = self.config, turn_of(self.config, self.train_step)
        generator = self.training_noise_generator(batch[OBS_STATE].device)
        cond, noise, target = self._starts(batch, generator, regress=turn.regression > 0)
        with torch.set_grad_enabled(turn.generator and torch.is_grad_enabled()):
            actions = self._generate(self.model, noise, cond)

        parts: dict[str, Tensor] = {}
        weights = {"regression_loss": turn.regression, "matching_loss": turn.matching, "data_loss": turn.data}
        if turn.regression > 0 and target is not None:
            parts["regression_loss"] = regression_loss(actions, target, config.regression_delta or None)
        if turn.matching > 0:
            parts["matching_loss"] = self._matching_loss(actions, cond, generator)
        if turn.critic:
            parts["fake_score_loss"] = self._fake_score_loss(actions.detach(), cond, generator)
        if turn.data > 0:
            known = self._pairs is None and not config.mixed_conditions  # Encoding images twice would cost most.
            parts["data_loss"] = self._data_loss(batch, cond if known else None, generator)
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        if turn.matching > 0 and self.train_step == config.warmup_steps:
            parts |= self._check_critic(batch, generator)
        return self.loss_guard.watch(total, self.train_step), logged(parts)

    @torch.no_grad()
    def _starts(
        self, batch: dict[str, Tensor], generator: torch.Generator, regress: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs of this iteration: conditions (B, F), start noise (B, T, A) and, for the regression, the teacher's
        own samples from both (B, T, A).

        With `pair_reuse` of r, the teacher samples in every r-th iteration, and all iterations draw from its latest
        samples. It also does while there are none, if a checkpoint without a buffer is trained further. An evaluation's
        batch neither enters the buffer nor draws from it.
        """
        pairs = self._pairs if self.training else None
        if pairs is not None and self.train_step % self.config.pair_reuse and pairs.added > 0:
            return pairs.draw(len(batch[OBS_STATE]), generator)
        cond = self.encode_for_training(batch)
        if self.config.mixed_conditions > 0:
            cond = mix_conditions(cond, self.config.mixed_conditions, generator)
        noise = self._start_noise(cond, generator)
        target = self.teacher_samples(noise, cond) if regress or pairs is not None else None
        if pairs is not None and target is not None:
            pairs.add(cond, noise, target)
            return pairs.draw(len(cond), generator)
        return cond, noise, target

    def _start_noise(self, cond: Tensor, generator: torch.Generator) -> Tensor:
        """Standard normal noise (B, T, A) to act from under conditions (B, F)."""
        return torch.randn((len(cond), *self.model.action_shape), generator=generator, device=cond.device)

    def teacher_samples(self, noise: Tensor, cond: Tensor) -> Tensor:
        """Samples (B, T, A) of the teacher's own sampler from start noise (B, T, A) and conditions (B, F)."""
        steps = self.teacher.sampler_timesteps(self.config.teacher_inference_steps)
        return self.teacher.sample(noise, cond, steps)

    def _data_loss(self, batch: dict[str, Tensor], cond: Tensor | None, generator: torch.Generator) -> Tensor:
        """Energy score of the generator's samples, under the batch's own conditions (B, F) or None if they are not
        known yet, at the demonstrated actions within the episode; for a share of the batch."""
        config, size = self.config, len(batch[ACTION])
        rows, count = math.ceil(config.data_share * size), config.data_samples
        if rows < size:
            batch = {key: value[:rows] for key, value in batch.items() if isinstance(value, Tensor)}
        cond = self.encode_for_training(batch) if cond is None else cond[:rows]
        actions, cond = batch[ACTION], cond.repeat(count, 1)
        noise = self._start_noise(cond, generator)
        samples = self._generate(self.model, noise, cond).unflatten(0, (count, -1))
        pad = batch.get("action_is_pad")
        return energy_score(samples, actions, None if pad is None else ~pad).mean()

    def _fake_score_loss(self, actions: Tensor, cond: Tensor, generator: torch.Generator) -> Tensor:
        """Denoising loss on the generator's actions, which must be detached."""
        t, noise = self._noise_levels(actions, generator)
        return self.model.denoising_loss(actions, noise, t, cond, self.fake_score).mean()

    def _matching_loss(self, actions: Tensor, cond: Tensor, generator: torch.Generator) -> Tensor:
        """Surrogate whose gradient moves the generator's distribution toward the teacher's."""
        with torch.no_grad():
            t, noise = self._noise_levels(actions, generator)
            alpha_bar = self.model.alphas_cumprod[t]
            x_t = add_noise(actions, noise, alpha_bar)
            gradient = distribution_matching_gradient(
                x=actions,
                x_t=x_t,
                mu_real=self.teacher.denoise(x_t, t, cond).x0,
                mu_fake=self.model.denoise(x_t, t, cond, self.fake_score).x0,
                alpha_bar=alpha_bar,
                weighting=self.config.weighting,
                floor=self.config.normalizer_floor,
            )
        return surrogate_loss(actions, gradient)

    def _noise_levels(self, actions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random timesteps (B,) and noise (B, T, A) at which to match the scores."""
        config, device, levels = self.config, actions.device, self.model.num_train_timesteps
        low, high = (round(share * (levels - 1)) for share in config.timestep_range)
        if not config.timestep_levels:
            high = min(high, config.last_timestep)
            t = torch.randint(low, high + 1, actions.shape[:1], generator=generator, device=device)
        else:
            levels = config.last_timestep + 1
            chosen = torch.tensor(ddim_timesteps(levels, config.timestep_levels), device=device)
            t = chosen[torch.randint(len(chosen), actions.shape[:1], generator=generator, device=device)]
        return t, torch.randn(actions.shape, generator=generator, device=device, dtype=actions.dtype)

    @torch.no_grad()
    def _check_critic(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Before the first turn with score matching: how far critic and teacher differ on the teacher's own samples,
        where they should agree, beside the spread of these samples. Warns if the critic's error is the larger one."""
        cond = self.encode_for_training(batch)[:8].repeat_interleave(8, 0)
        noise = self._start_noise(cond, generator)
        samples = self.teacher_samples(noise, cond)
        t, diffusing = self._noise_levels(samples, generator)
        x_t = add_noise(samples, diffusing, self.model.alphas_cumprod[t])
        networks = self.teacher.denoiser, self.fake_score
        real, fake = (self.model.denoise(x_t, t, cond, network).x0 for network in networks)
        error = (fake - real).square().mean().sqrt()
        spread = samples.unflatten(0, (-1, 8)).std(1).square().mean().sqrt()
        if error > spread:
            logger.warning(
                "At the first turn with score matching, the critic's error on the teacher's samples (%.3g) is larger "
                "than the spread of these samples (%.3g), so matching adds noise. Raise --policy.critic_lead_steps, "
                "lower --policy.fake_score_lr, or use --policy.recipe=sdm.",
                error,
                spread,
            )
        return {"critic_error": error, "teacher_spread": spread}

    def update(self) -> None:
        if turn_of(self.config, self.train_step).generator:
            warmup = self.config.warmup_steps
            ratio = self.config.fake_updates_per_generator_update if self.config.matching_weight else 1
            self.update_ema(min(self.train_step, warmup) + max(0, self.train_step - warmup) // ratio)
        self.train_step += 1

    def get_optim_params(self) -> list[dict[str, Any]]:
        """A parameter group for each network, clipped and scheduled on its own."""
        groups = [self.parameter_group(self.model.denoiser, "generator")]
        if self.config.matching_weight:
            # Of this training: the student of a checkpoint may be past the warm-up.
            first = max(0, self.config.warmup_steps - self.config.critic_lead_steps - self.train_step)
            groups.append(self.parameter_group(self.fake_score, "fake_score") | {"first_step": first})
        return groups


def mix_conditions(cond: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Move a share of the conditions (B, F) a random part of the way to another one of the batch."""
    device = cond.device
    other = cond[torch.randperm(len(cond), generator=generator, device=device)]
    way, chosen = torch.rand(2, len(cond), 1, generator=generator, device=device)
    return torch.where(chosen < share, torch.lerp(cond, other, way), cond)
