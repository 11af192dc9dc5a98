"""Score and Distribution Matching (Jia et al. 2024): a diffusion policy distilled into one network evaluation.

There are three copies of one denoiser. The *teacher* R is frozen and gives the score of diffused teacher actions. The
*generator* G maps start noise to actions in one evaluation. The *fake score* F is trained on the generator's actions
and gives their score. G descends the difference of the two scores, the gradient of a KL divergence; F tracks G.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import torch
from lerobot.utils.constants import OBS_STATE
from torch import Tensor, nn

from lerobot_sdm.diffusion.distribution_matching import distribution_matching_gradient, surrogate_loss
from lerobot_sdm.diffusion.regression import regression_loss
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.diffusion.schedules import add_noise, ddim_timesteps
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.nets.pair_buffer import PairBuffer
from lerobot_sdm.policies.chunk_policy import logged
from lerobot_sdm.policies.distilled_policy import DistilledPolicy
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig


class SDMPolicy(DistilledPolicy):
    """One-step student of a diffusion policy; see `DistilledPolicy` for the arguments."""

    config_class = SDMConfig
    name = "sdm"

    def add_training_modules(self) -> None:
        config = self.config
        self.fake_score = deepcopy(self.model.unet)
        if config.pair_reuse > 1:
            buffer = PairBuffer(config.pair_buffer_size, self.model.cond_dim, self.model.action_shape)
            self._unsynchronized = (buffer,)

    @property
    def _pairs(self) -> PairBuffer | None:
        return cast(PairBuffer | None, next(iter(self._unsynchronized), None))

    def training_modules(self) -> dict[str, nn.Module]:
        modules = super().training_modules()
        if self.built_for_training:
            modules["fake_score"] = self.fake_score
        if self._pairs is not None:
            modules["pairs"] = self._pairs
        return modules

    # ---- acting ----------------------------------------------------------------------------------------

    def actions_from_noise(self, model: Backbone, noise: Tensor, cond: Tensor) -> Tensor:
        return clip_sample(self._generate(model, noise, cond), model.clip_range)

    def _generate(self, model: Backbone, noise: Tensor, cond: Tensor) -> Tensor:
        """G(z): noise (B, horizon, A), cond (B, F) -> actions (B, horizon, A), not clipped."""
        return model.denoise(noise, model.full_timesteps(noise, self.config.generator_timestep), cond).x0

    # ---- training --------------------------------------------------------------------------------------

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss: in warm-up only regression; then the fake score in each step, the generator in its turn.

        The losses are summed: neither has a gradient with respect to the other's network, and a network that is not
        trained in a step has no gradient at all, so LeRobot's single optimizer skips it. The fake score needs no
        warm-up: it starts as a copy of the teacher, which the generator resembles after its own warm-up.

        Args:
            batch: Preprocessed training batch. Only its observations are used; SDM learns from the teacher.

        Returns:
            The summed loss, and each part of it to log.
        """
        config = self.config
        random = self.training_noise_generator(batch[OBS_STATE].device)
        warm = self.train_step < config.warmup_steps
        generator_turn = self._is_generator_turn(self.train_step)
        regression_weight = 1.0 if warm else config.regression_weight
        regress = generator_turn and regression_weight > 0
        cond, noise, target = self._starts(batch, random, regress)
        with torch.set_grad_enabled(generator_turn and torch.is_grad_enabled()):
            actions = self._generate(self.model, noise, cond)

        parts: dict[str, Tensor] = {}
        if regress and target is not None:
            parts["regression_loss"] = regression_loss(actions, target, config.regression_delta)
        if generator_turn and not warm:
            parts["matching_loss"] = self._matching_loss(actions, cond, random)
        if not warm:
            parts["fake_score_loss"] = self._fake_score_loss(actions.detach(), cond, random)
        weights = {"regression_loss": regression_weight}
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        return self.loss_guard.watch(total, self.train_step), logged(parts)

    @torch.no_grad()
    def _starts(
        self, batch: dict[str, Tensor], random: torch.Generator, regress: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs of this iteration: conditions (B, F), start noise (B, T, A) and, for the regression, the teacher's
        own samples from both (B, T, A).

        With `pair_reuse` of r, the teacher samples in every r-th iteration, and all iterations draw from its latest
        samples.
        """
        pairs = self._pairs
        if pairs is not None and self.train_step % self.config.pair_reuse:
            return pairs.draw(len(batch[OBS_STATE]), random)
        cond = self.encode_for_training(batch)
        noise = torch.randn((len(cond), *self.model.action_shape), generator=random, device=cond.device)
        target = self.teacher_samples(noise, cond) if regress or pairs is not None else None
        if pairs is not None and target is not None:
            pairs.add(cond, noise, target)
            return pairs.draw(len(cond), random)
        return cond, noise, target

    def teacher_samples(self, noise: Tensor, cond: Tensor) -> Tensor:
        """Samples (B, T, A) of the teacher's own sampler from start noise (B, T, A) and conditions (B, F)."""
        steps = self.teacher.sampler_timesteps(self.config.teacher_inference_steps)
        return self.teacher.sample(noise, cond, steps)

    def _fake_score_loss(self, actions: Tensor, cond: Tensor, random: torch.Generator) -> Tensor:
        """Denoising loss on the generator's actions, which must be detached."""
        t, noise = self._noise_levels(actions, random)
        return self.model.denoising_loss(actions, noise, t, cond, self.fake_score).mean()

    def _matching_loss(self, actions: Tensor, cond: Tensor, random: torch.Generator) -> Tensor:
        """Surrogate whose gradient moves the generator's distribution toward the teacher's."""
        with torch.no_grad():
            t, noise = self._noise_levels(actions, random)
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

    def _noise_levels(self, actions: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random timesteps (B,) and noise (B, T, A) at which to match the scores."""
        config, device, levels = self.config, actions.device, self.model.num_train_timesteps
        low, high = (round(share * (levels - 1)) for share in config.timestep_range)
        if config.timestep_levels is None:
            high = min(high, config.last_timestep)
            t = torch.randint(low, high + 1, actions.shape[:1], generator=random, device=device)
        else:
            levels = config.last_timestep + 1
            chosen = torch.tensor(ddim_timesteps(levels, config.timestep_levels), device=device)
            t = chosen[torch.randint(len(chosen), actions.shape[:1], generator=random, device=device)]
        return t, torch.randn(actions.shape, generator=random, device=device, dtype=actions.dtype)

    def _is_generator_turn(self, step: int) -> bool:
        warmup, ratio = self.config.warmup_steps, self.config.fake_updates_per_generator_update
        return step < warmup or (step - warmup) % ratio == 0

    def update(self) -> None:
        """LeRobot calls this after each optimizer step."""
        if self._is_generator_turn(self.train_step):
            warmup, ratio = self.config.warmup_steps, self.config.fake_updates_per_generator_update
            self.update_ema(min(self.train_step, warmup) + max(0, self.train_step - warmup) // ratio)
        self.train_step += 1

    def get_optim_params(self) -> list[dict[str, Any]]:
        """Two parameter groups, each clipped and scheduled on its own."""
        return [
            self.parameter_group(self.model.unet, "generator"),
            self.parameter_group(self.fake_score, "fake_score"),
        ]
