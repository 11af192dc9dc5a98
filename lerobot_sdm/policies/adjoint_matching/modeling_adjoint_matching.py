"""Adjoint Matching (Domingo-Enrich et al. 2024): fine-tune a diffusion policy toward a higher reward.

For the observations of a batch, the fine-tuned network samples action sequences by a process with noise in every step.
A reward model gives the reward's gradient at each sample. The frozen *base* propagates it back through the process (the
lean adjoint), and the fine-tuned network regresses its difference from the base onto it. No environment is needed: the
observations come from a dataset, either demonstrations or the base's own rollouts.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lerobot_sdm.diffusion.adjoint_matching import (
    Adjoints,
    MemorylessProcess,
    control,
    draw_steps,
    lean_adjoints,
    matching_losses,
    memoryless_process,
    posterior_mean,
    sample_states,
)
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.diffusion.schedules import ddim_timesteps
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.policies.adjoint_matching.configuration_adjoint_matching import AdjointMatchingConfig
from lerobot_sdm.policies.chunk_policy import logged
from lerobot_sdm.policies.distilled_policy import DistilledPolicy
from lerobot_sdm.policies.source.reward_model import check_fits, load_reward_model, saved_reward_model


class AdjointMatchingPolicy(DistilledPolicy):
    """A fine-tuned diffusion policy; see `ChunkPolicy` for the arguments. Its teacher is the base."""

    config_class = AdjointMatchingConfig
    name = "adjoint_matching"

    def add_training_modules(self) -> None:
        config = self.config
        if config.reward_path is None:
            raise InputError(
                "--policy.reward_path: fine-tuning needs the folder or Hub repo of a reward model of the base. Train "
                "one with lerobot-train --reward_model.type=chunk_reward."
            )
        source = saved_reward_model(config.reward_path, config.reward_revision)
        reward = load_reward_model(config.reward_path, config.device, config.reward_revision)
        source.check_same(config.reward_sha256)
        config.reward_sha256 = source.sha256
        check_fits(reward.config, config)
        self._unsynchronized = (reward,)
        self._skipped_in_a_row = 0

    @property
    def reward_model(self) -> Any:
        """A `rewards.chunk_reward` model, only in training."""
        return self._unsynchronized[0]

    # ---- acting ----------------------------------------------------------------------------------------

    def actions_from_noise(self, model: Backbone, noise: Tensor, cond: Tensor) -> Tensor:
        return model.sample(noise, cond, model.sampler_timesteps(self.config.num_inference_steps))

    # ---- training --------------------------------------------------------------------------------------

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Sample trajectories under the batch's observations, propagate the reward's gradient back through the base,
        regress.

        Logged are the predicted reward of the samples and its spread over the ensemble; the control norm, which
        estimates the KL divergence from the base; the adjoint norms at the sample and at the noise; and the number of
        samples skipped because their adjoints were not finite.
        """
        config, process = self.config, self._process()
        base = self.teacher
        cond = base.encode(batch)
        generator = self.training_noise_generator(cond.device)
        start = torch.randn((len(cond), *self.model.action_shape), generator=generator, device=cond.device)
        states = sample_states(partial(self._mean, self.model.denoiser, cond, process), start, process, generator)
        reward, spread, gradient = self._judge(batch, states[-1])
        adjoints = lean_adjoints(
            partial(self._mean, base.denoiser, cond, process),
            states,
            -config.reward_weight * gradient,
            config.adjoint_clip_quantile,
        )
        self._watch(adjoints.finite)
        losses, control_norm = self._regression(states, adjoints, cond, process, generator)
        lengths = adjoints.values.flatten(2).norm(dim=2)
        parts = {
            "reward": reward.mean(),
            "reward_spread": spread.mean(),
            "control_norm": control_norm,
            "adjoint_norm_sample": lengths[-1].mean(),
            "adjoint_norm_noise": lengths[0].mean(),
            "skipped_samples": (~adjoints.finite).sum().float(),
        }
        return self.loss_guard.watch(losses.mean(), self.train_step), logged(parts)

    def _process(self) -> MemorylessProcess:
        """Noise levels of the training trajectories, from the noisiest at which clean actions can be estimated."""
        timesteps = ddim_timesteps(
            self.model.num_train_timesteps, self.config.sampling_steps, "trailing", start=self.config.last_timestep
        )
        return memoryless_process(self.model.alphas_cumprod, timesteps)

    def _mean(self, network: nn.Module, cond: Tensor, process: MemorylessProcess, x: Tensor, k: Tensor) -> Tensor:
        """Mean of step k (N,) from x (N, T, A) under conditions (N, F), with this network."""
        x0 = self.model.denoise(x, process.timesteps[k], cond, network).x0
        return posterior_mean(x, clip_sample(x0, self.model.clip_range), process, k)

    def _judge(self, batch: dict[str, Tensor], samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The reward of sampled action sequences (B, T, A): the ensemble's mean (B,), its standard deviation (B,), and
        the gradient of the pessimistic reward (B, T, A), zeros for actions that the reward model does not see."""
        features, first = self.reward_model.features(batch), self.config.n_obs_steps - 1
        with torch.enable_grad():
            x = samples.detach().requires_grad_(True)
            executed = x[:, first : first + self.reward_model.config.n_action_steps]
            members = self.reward_model.predict(features, executed)
            # Like sqrt(v), but with a finite gradient if all members agree, as an ensemble of one always does.
            spread = (members.var(dim=0, correction=0) + 1e-12).sqrt()
            value = members.mean(dim=0) - self.config.reward_pessimism * spread
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return members.detach().mean(dim=0), spread.detach(), gradient

    def _regression(
        self, states: Tensor, adjoints: Adjoints, cond: Tensor, process: MemorylessProcess, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Losses (steps, B) of some of a trajectory's steps, 0 for skipped samples; and the control norm."""
        kept = adjoints.finite.view(-1, 1, 1)  # Non-finite values must not reach the gradient, not even times 0.
        states, base_means = (torch.where(kept, values, 0.0) for values in (states, adjoints.base_means))
        chosen = draw_steps(self.config.loss_steps, process, generator)
        count, batch = len(chosen), len(cond)
        k = chosen.repeat_interleave(batch)
        sigma = process.sigma[k]
        mean = self._mean(self.model.denoiser, cond.repeat(count, 1), process, states[chosen].flatten(0, 1), k)
        controls = control(mean, base_means[chosen].flatten(0, 1), sigma)
        wanted = adjoints.values[chosen + (self.config.adjoint == "next")].flatten(0, 1)
        losses = matching_losses(controls, wanted, sigma).view(count, batch)
        # Its expectation over the drawn steps is the sum over all steps with noise.
        spent = controls.detach().square().flatten(1).sum(dim=1).view(count, batch) / 2
        control_norm = (process.steps - 1) * torch.where(adjoints.finite, spent, 0.0).mean()
        return torch.where(adjoints.finite, losses, 0.0), control_norm

    def _watch(self, finite: Tensor) -> None:
        """Stop training after too many consecutive iterations with non-finite adjoints."""
        self._skipped_in_a_row = 0 if finite.all() else self._skipped_in_a_row + 1
        if self._skipped_in_a_row >= self.config.max_skipped_steps:
            raise InputError(
                f"adjoint_matching: adjoints were not finite in {self._skipped_in_a_row} iterations in a row, most "
                f"recently for {int((~finite).sum())} of {len(finite)} samples. Use a smaller --policy.reward_weight "
                f"(now {self.config.reward_weight}) or --policy.finetune_lr (now {self.config.finetune_lr}), or check "
                f"the reward model at {self.config.reward_path}."
            )

    def get_optim_params(self) -> list[dict[str, Any]]:
        return [self.parameter_group(self.model.denoiser, "finetune")]
