"""Consistency Policy (Prasad et al. 2024): a diffusion policy distilled into jumps between any two noise levels.

The *teacher* is a frozen denoiser whose solver steps one bin along the probability flow. The *student* jumps from any
noise level to any lower one. The *target* is a copy or an EMA of the student, without gradient. The student is compared
with it, and it takes both results to clean actions for the comparison.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from lerobot.utils.constants import ACTION
from torch import Tensor, nn

from lerobot_sdm.diffusion.ctm import chained_jumps, ctm_loss, draw_times, dsm_sigmas, estimate, jump
from lerobot_sdm.diffusion.karras import NoiseLevels, add_noise, denoising_loss, sigma_of_bin
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbones import BACKBONES, two_times_network
from lerobot_sdm.policies.chunk_policy import ChunkPolicy, logged
from lerobot_sdm.policies.consistency.configuration_consistency import ConsistencyConfig
from lerobot_sdm.policies.edm.configuration_edm import EdmConfig
from lerobot_sdm.policies.edm.modeling_edm import KarrasModel
from lerobot_sdm.policies.optimizer_settings import one_group
from lerobot_sdm.policies.source.files import WEIGHTS_FILE
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.policies.targeted_policy import TargetedPolicy
from lerobot_sdm.safe_files.weights import load_strictly, read_weights


class ConsistencyPolicy(TargetedPolicy):
    """Student of an `edm` policy; see `ChunkPolicy` for the arguments."""

    config_class = ConsistencyConfig
    name = "consistency"
    model: ConsistencyModel

    def build_model(self, network: EdmConfig) -> ConsistencyModel:
        return ConsistencyModel(network)

    def take_weights(self, source: SourcePolicy) -> None:
        """Initialize with the teacher's weights, with zeros for the stop time."""
        if not self.config.teacher_use_ema and source.config.use_ema:
            load_strictly(self.teacher, raw_weights(source), source.given)
        self.model.obs_encoder.load_state_dict(self.teacher.obs_encoder.state_dict())
        self.model.obs_encoder.requires_grad_(False)
        network = self.model.config
        convert = BACKBONES[network.backbone].with_stop_time
        state = convert(self.teacher.denoiser.state_dict(), network, self.teacher.cond_dim)
        self.model.denoiser.load_state_dict(state)

    def train(self, mode: bool = True) -> ConsistencyPolicy:
        """Switch dropout in student and target. The encoder is frozen: crops are random in training, but its batch
        normalization statistics do not change."""
        super().train(mode)
        for camera in self.model.obs_encoder.cameras:
            for part in camera.children():
                part.eval()
        return self

    def actions_from_noise(self, model: ConsistencyModel, noise: Tensor, cond: Tensor) -> Tensor:
        config = self.config
        return chained_jumps(
            partial(model.jump, cond=cond),
            config.initial_std * noise,
            stop_sigmas(tuple(config.chaining_times), config.chaining_unit, model.levels),
            model.levels,
            model.config.clip_sample_range,
        )

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Consistency along the teacher's flow, and denoising of the demonstrated actions: the weighted sum, and each
        part of it to log."""
        config, model, levels, x0 = self.config, self.model, self.model.levels, batch[ACTION]
        generator, real = self.training_noise_generator(x0.device), self.real_steps(batch)
        noises = torch.randn((2, *x0.shape), generator=generator, device=x0.device, dtype=x0.dtype)
        times = draw_times(len(x0), levels, config.max_solver_steps, generator)
        sigma = dsm_sigmas(len(x0), levels, config.sigma_log_mean, config.sigma_log_std, generator)
        parts: dict[str, Tensor] = {}
        with self.repeatable_global_noise(x0.device):
            with torch.no_grad():
                cond = model.encode(batch)
            student = partial(model.jump, cond=cond)
            if config.ctm_weight > 0:
                parts["ctm_loss"] = ctm_loss(
                    student=student,
                    target=partial(model.jump, cond=cond, network=self.target),
                    teacher=partial(self.teacher.denoise, cond=cond),
                    x0=x0,
                    noise=noises[0],
                    times=times,
                    levels=levels,
                    max_solver_steps=config.max_solver_steps,
                    norm=config.ctm_loss_norm,
                    real=real,
                )
            if config.dsm_weight > 0:
                denoised = model.denoise(add_noise(x0, noises[1], sigma), sigma, cond, config.dsm_by)
                parts["dsm_loss"] = denoising_loss(denoised, x0, sigma, levels, config.loss_norm, real)
        weights = {"ctm_loss": config.ctm_weight, "dsm_loss": config.dsm_weight}
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return self.loss_guard.watch(total, self.train_step), logged(parts)

    def get_optim_params(self) -> Any:
        return one_group(self.model.denoiser.parameters())


class ConsistencyModel(KarrasModel):
    """Observation encoder and a network that jumps between noise levels, from the teacher's configuration with the
    student's features and dropout."""

    def __init__(self, config: EdmConfig):
        super().__init__(config, two_times_network)

    def jump(self, x: Tensor, t: Tensor, s: Tensor, cond: Tensor, network: nn.Module | None = None) -> Tensor:
        """G: jump from noise t (B,) to s (B,) with actions x (B, T, A), under a condition (B, F), by `denoiser` or by
        another network."""
        return jump(partial(self.denoiser if network is None else network, global_cond=cond), x, t, s, self.levels)

    def denoise(self, x: Tensor, sigma: Tensor, cond: Tensor, by: str = "estimate") -> Tensor:
        """Clean actions from actions x (B, T, A) with noise sigma (B,), under a condition (B, F): by "estimate", the
        target of a zero-length jump, or by "jump", the result of the jump to the end."""
        if by == "jump":
            return self.jump(x, sigma, torch.full_like(sigma, self.levels.sigma_min), cond)
        return estimate(partial(self.denoiser, global_cond=cond), x, sigma, sigma, self.levels)


@cache  # An exporter traces with tensors that have no values; it runs the policy once before.
def stop_sigmas(times: tuple[float, ...], unit: str, levels: NoiseLevels) -> list[float]:
    """Noise of the further jumps: `chaining_times` in its unit, "bins" or "sigma"."""
    stops = torch.tensor(times)
    return (sigma_of_bin(stops, levels) if unit == "bins" else stops).tolist()


def raw_weights(source: SourcePolicy) -> dict[str, Tensor]:
    """Load the raw weights of an `edm` policy, without EMA.

    Raises:
        InputError: The checkpoint does not contain them, like that of a published policy.
    """
    state = source.file(WEIGHTS_FILE).parent / ChunkPolicy.training_state_file
    if not state.is_file():
        raise InputError(
            f"--policy.teacher_use_ema=false: the teacher at {source.path} has no {state.name} with its raw weights. "
            "Drop the option to learn from its EMA model."
        )
    prefix = "model."
    return {key.removeprefix(prefix): value for key, value in read_weights(state).items() if key.startswith(prefix)}
