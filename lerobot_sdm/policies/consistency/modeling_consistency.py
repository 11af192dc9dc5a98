"""Consistency Policy (Prasad et al. 2024): a diffusion policy distilled into jumps between any two noise levels.

The *teacher* is a frozen denoiser whose solver leads one bin along the probability flow. The *student* jumps from any
noise level to any lower one. The *target* is a copy of the student, or an average of it, without gradient: what the
student is compared with, and what takes both on to clean actions for the comparison.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lerobot.utils.constants import ACTION
from torch import Tensor, nn

from lerobot_sdm.diffusion.ctm import chained_jumps, ctm_loss, draw_times, dsm_loss, dsm_sigmas, estimate, jump
from lerobot_sdm.diffusion.karras import sigma_of_bin
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.nets.stop_time_unet import StopTimeUnet, widen_for_stop_time
from lerobot_sdm.policies.chunk_policy import ChunkPolicy, logged
from lerobot_sdm.policies.consistency.configuration_consistency import TEACHER_TYPES, ConsistencyConfig
from lerobot_sdm.policies.edm.modeling_edm import EdmModel, EdmPolicy, KarrasModel, real_steps
from lerobot_sdm.policies.normalization import Stats, prepare_stats
from lerobot_sdm.policies.range_watch import watch_source
from lerobot_sdm.policies.weights import read_weights
from lerobot_sdm.teachers import (
    WEIGHTS_FILE,
    check_same_features,
    check_same_teacher,
    fingerprint,
    read_teacher_config,
    teacher_file,
)


class ConsistencyPolicy(ChunkPolicy):
    """Student of an `edm` policy.

    Args:
        config: Policy configuration, with input and output features set.
        dataset_stats: Statistics of the training data, fitted in place; see `prepare_stats`.
        dataset_meta: Metadata of the training data. LeRobot passes it only to a policy that will be trained; only
            then are the teacher and the target there.
    """

    config_class = ConsistencyConfig
    name = "consistency"

    def __init__(
        self, config: ConsistencyConfig, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any
    ):
        config.validate_features()
        super().__init__(config, training=dataset_meta is not None)
        if dataset_stats is not None:
            prepare_stats(dataset_stats, config.cloud_channels, config.depth_to_cloud)
        self.model = ConsistencyModel(config)
        # In a tuple the teacher is no submodule: never part of a checkpoint, never put into training mode.
        self._teacher: tuple[EdmModel, ...] = ()
        if self.built_for_training:
            self._start_from_teacher(dataset_stats, dataset_meta)

    def _start_from_teacher(self, dataset_stats: Stats | None, dataset_meta: Any) -> None:
        """Load the teacher, start the student from its weights, and copy the student for target and average."""
        config = self.config
        if config.teacher_path is None:
            raise InputError(
                "--policy.teacher_path: training a consistency policy needs the folder or Hub repo of an edm policy."
            )
        found = fingerprint(config.teacher_path, config.teacher_revision)
        check_same_teacher(config.teacher_path, found, config.teacher_sha256)
        config.teacher_sha256 = found
        teacher = load_edm(config)
        check_same_features(
            {**teacher.config.input_features, **teacher.config.output_features},
            {**config.input_features, **config.output_features},
            path=config.teacher_path,
        )
        features, source = {**config.input_features, **config.output_features}, config.teacher_path
        self.range_watch = watch_source(features, dataset_stats, dataset_meta, source, config.teacher_revision)
        self._teacher = (teacher.model,)
        self.model.obs_encoder.load_state_dict(teacher.model.obs_encoder.state_dict())
        self.model.obs_encoder.requires_grad_(False)
        if config.warm_start:
            self.model.unet.load_state_dict(
                widen_for_stop_time(
                    teacher.model.unet.state_dict(), config.diffusion_step_embed_dim, teacher.model.cond_dim
                )
            )
        self.target = deepcopy(self.model.unet, {id(config): config}).requires_grad_(False)
        if config.use_ema:
            self.average = deepcopy(self.model, {id(config): config}).requires_grad_(False)

    def training_modules(self) -> dict[str, nn.Module]:
        modules = super().training_modules()
        if self.built_for_training:
            modules["target"] = self.target
        return modules

    def load_training_state(self, path: Path) -> None:
        super().load_training_state(path)
        if not path.exists():
            self.target.load_state_dict(self.model.unet.state_dict())

    def _apply(self, fn: Any, recurse: bool = True) -> ConsistencyPolicy:
        for module in self._teacher:
            module._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> ConsistencyPolicy:
        """Dropout works in student and target. The encoder is frozen: crops are random in training, but the statistics
        of batch normalisation stay."""
        super().train(mode)
        for camera in self.model.obs_encoder.cameras:
            for part in camera.children():
                part.eval()
        return self

    def actions_from_noise(self, model: ConsistencyModel, noise: Tensor, cond: Tensor) -> Tensor:
        config = self.config
        stops = torch.tensor(config.chaining_times)
        if config.chaining_unit == "bins":
            stops = sigma_of_bin(stops, model.levels)
        return chained_jumps(
            partial(model.jump, cond=cond),
            config.initial_std * noise,
            stops.tolist(),
            model.levels,
            config.clip_sample_range,
        )

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Consistency along the teacher's flow, and denoising of the demonstrated actions.

        Args:
            batch: Preprocessed training batch; observations (B, n_obs_steps, ...), `action` (B, horizon, A).

        Returns:
            The weighted sum, and each part of it for the log.
        """
        config, model, levels, x0 = self.config, self.model, self.model.levels, batch[ACTION]
        (teacher,) = self._teacher
        random, real = self.training_noise_generator(x0.device), real_steps(config, batch)
        noises = torch.randn((2, *x0.shape), generator=random, device=x0.device, dtype=x0.dtype)
        times = draw_times(len(x0), levels, config.max_solver_steps, random)
        sigma = dsm_sigmas(len(x0), levels, config.sigma_log_mean, config.sigma_log_std, random)
        parts: dict[str, Tensor] = {}
        with self.repeatable_global_noise(x0.device):
            with torch.no_grad():
                cond = model.encode(batch)
            student = partial(model.jump, cond=cond)
            if config.ctm_weight > 0:
                parts["ctm_loss"] = ctm_loss(
                    student=student,
                    target=partial(model.jump, cond=cond, unet=self.target),
                    teacher=partial(teacher.denoise, cond=cond),
                    x0=x0,
                    noise=noises[0],
                    times=times,
                    levels=levels,
                    max_solver_steps=config.max_solver_steps,
                    norm=config.ctm_loss_norm,
                    real=real,
                )
            if config.dsm_weight > 0:
                denoiser = partial(model.denoise, cond=cond, by=config.dsm_by)
                parts["dsm_loss"] = dsm_loss(denoiser, x0, noises[1], sigma, levels, config.loss_norm, real)
        weights = {"ctm_loss": config.ctm_weight, "dsm_loss": config.dsm_weight}
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return self.loss_guard.watch(total, self.train_step), logged(parts)

    def update(self) -> None:
        """LeRobot calls this behind each optimizer step."""
        config = self.config
        update_average(self.target, self.model.unet, config.target_ema_decay)
        if self.average is not None:
            decay = warmup_decay(self.train_step, config.ema_power, config.ema_max_decay)
            update_average(self.average, self.model, decay)
        self.train_step += 1

    def get_optim_params(self) -> Any:
        return self.model.unet.parameters()


class ConsistencyModel(KarrasModel):
    """Observation encoder and a network that jumps between noise levels.

    Args:
        config: Configuration with input and output features.
    """

    def __init__(self, config: ConsistencyConfig):
        super().__init__(config, StopTimeUnet)

    def jump(self, x: Tensor, t: Tensor, s: Tensor, cond: Tensor, unet: nn.Module | None = None) -> Tensor:
        """G: actions (B, T, A) from noise t (B,) to noise s (B,), under a condition (B, F).

        Args:
            x: (B, T, A).
            t: (B,).
            s: (B,).
            cond: (B, F).
            unet: A copy of the network with other weights; its own where None.
        """
        return jump(partial(self.unet if unet is None else unet, global_cond=cond), x, t, s, self.levels)

    def denoise(self, x: Tensor, sigma: Tensor, cond: Tensor, by: str = "estimate") -> Tensor:
        """Clean actions from actions (B, T, A) with noise sigma (B,), under a condition (B, F).

        Args:
            x: (B, T, A).
            sigma: (B,).
            cond: (B, F).
            by: "estimate", what a jump of no length aims at, or "jump", where the jump to the end lands.
        """
        if by == "jump":
            return self.jump(x, sigma, torch.full_like(sigma, self.levels.sigma_min), cond)
        return estimate(partial(self.unet, global_cond=cond), x, sigma, sigma, self.levels)


def load_edm(config: ConsistencyConfig) -> EdmPolicy:
    """The teacher of a configuration, frozen, on its device.

    Raises:
        InputError: `teacher_use_ema=false`, and the teacher's raw weights are not there.
    """
    path, revision = config.teacher_path, config.teacher_revision
    teacher_config = read_teacher_config(path, revision, TEACHER_TYPES)
    teacher_config.device = config.device
    teacher_config.pretrained_backbone_weights = None
    folder = teacher_file(path, WEIGHTS_FILE, revision).parent
    teacher = EdmPolicy.from_pretrained(folder, config=teacher_config)
    if not config.teacher_use_ema and teacher_config.use_ema:
        state = folder / EdmPolicy.training_state_file
        if not state.is_file():
            raise InputError(
                f"--policy.teacher_use_ema=false: the teacher at {path} has no {state.name} with its raw weights. "
                "Leave the option out to learn from its average."
            )
        raw = {
            key.removeprefix("model."): value for key, value in read_weights(state).items() if key.startswith("model.")
        }
        teacher.model.load_state_dict(raw)
    return teacher.requires_grad_(False).eval()
