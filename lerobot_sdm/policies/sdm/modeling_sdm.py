"""Score and Distribution Matching (Jia et al. 2024): a diffusion policy distilled into one network evaluation.

Three copies of one denoiser. The *teacher* R is frozen and gives the score of diffused teacher actions. The
*generator* G maps start noise to actions in one evaluation. The *fake score* F is trained on the generator's
actions and gives their score. G descends the difference of the two scores (a KL divergence), F follows G.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from lerobot.utils.constants import OBS_STATE
from torch import Tensor, nn
from torch.nn import functional as F

from lerobot_sdm.diffusion.distribution_matching import distribution_matching_gradient, surrogate_loss
from lerobot_sdm.diffusion.regression import regression_loss
from lerobot_sdm.diffusion.samplers import clip_sample
from lerobot_sdm.diffusion.schedules import add_noise, ddim_timesteps
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.nets.pair_buffer import PairBuffer
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model
from lerobot_sdm.policies.normalization import Stats, prepare_stats
from lerobot_sdm.policies.sdm.configuration_sdm import SDMConfig
from lerobot_sdm.teachers import check_same_features, fingerprint, load_teacher


class SDMPolicy(ChunkPolicy):
    """One-step student of a diffusion policy.

    Args:
        config: Policy configuration, with input and output features set.
        dataset_stats: Statistics of the training data, fitted in place; see `prepare_stats`.
        dataset_meta: Metadata of the training data. LeRobot passes it only to a policy that will be trained; only
            then are the teacher and the fake score loaded.
    """

    config_class = SDMConfig
    name = "sdm"

    def __init__(self, config: SDMConfig, dataset_stats: Stats | None = None, dataset_meta: Any = None, **_: Any):
        config.validate_features()
        super().__init__(config, training=dataset_meta is not None)
        if dataset_stats is not None:
            prepare_stats(dataset_stats, config.cloud_channels, config.depth_to_cloud)
        self.model = DP3Model(config)
        # In tuples the teacher and its samples are no submodules: never part of a checkpoint's weights, never averaged,
        # never synchronised between processes.
        self._teacher: tuple[nn.Module, ...] = ()
        self._pairs: tuple[PairBuffer, ...] = ()
        if self.built_for_training:
            self._start_from_teacher()

    def _start_from_teacher(self) -> None:
        """Load the teacher and make generator, average and fake score copies of it."""
        config = self.config
        if config.teacher_path is None:
            raise InputError("--policy.teacher_path: training an sdm policy needs the folder or Hub repo of a teacher.")
        found = fingerprint(config.teacher_path, config.teacher_revision)
        if config.teacher_sha256 not in (None, found):
            raise InputError(
                f"--policy.teacher_path={config.teacher_path}: this run began with another teacher (SHA-256 "
                f"{config.teacher_sha256[:12]}..., now {found[:12]}...). Put that one back, or start a new run."
            )
        config.teacher_sha256 = found
        teacher = load_teacher(config.teacher_path, config.device, config.teacher_revision)
        check_same_features(
            config.teacher_path,
            {**teacher.config.input_features, **teacher.config.output_features},
            {**config.input_features, **config.output_features},
        )
        self._teacher = (teacher.model,)
        self._teacher_timesteps = ddim_timesteps(
            config.num_train_timesteps,
            teacher.config.num_inference_steps,
            teacher.config.timestep_spacing,
            teacher.config.inference_start_timestep,
        )
        self.model.load_state_dict(teacher.model.state_dict())
        self.model.obs_encoder.requires_grad_(False)
        self.fake_score = deepcopy(self.model.unet, {id(config): config})
        if config.pair_reuse > 1:
            cond_dim = config.n_obs_steps * self.model.obs_encoder.out_dim
            self._pairs = (PairBuffer(config.pair_buffer_size, cond_dim, self.model.action_shape),)
        if config.use_ema:
            self.average = deepcopy(self.model, {id(config): config}).requires_grad_(False)

    def training_modules(self) -> dict[str, nn.Module]:
        modules = super().training_modules()
        if self.built_for_training:
            modules["fake_score"] = self.fake_score
        if self._pairs:
            modules["pairs"] = self._pairs[0]
        return modules

    def _apply(self, fn: Any, recurse: bool = True) -> SDMPolicy:
        for module in (*self._teacher, *self._pairs):
            module._apply(fn, recurse)
        return super()._apply(fn, recurse)

    # ---- acting ----------------------------------------------------------------------------------------

    def actions_from_noise(self, model: DP3Model, noise: Tensor, cond: Tensor) -> Tensor:
        return clip_sample(self._generate(model, noise, cond), self.config.clip_sample_range)

    def _generate(self, model: DP3Model, noise: Tensor, cond: Tensor) -> Tensor:
        """G(z): noise (B, horizon, A), cond (B, F) -> actions (B, horizon, A), not clipped."""
        t = torch.full(noise.shape[:1], self.config.generator_timestep, device=noise.device)
        return model.unet(noise, t, global_cond=cond)

    # ---- training --------------------------------------------------------------------------------------

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """One iteration: warm-up by regression alone; then the fake score always learns, the generator in its turn.

        The losses are summed: none has a gradient with respect to the other's network, and a network that rests has
        no gradient at all, so that the one optimizer of LeRobot's loop skips it. The fake score starts as a copy of
        the teacher, which is what a generator behind its warm-up resembles, so it needs none of its own.

        Args:
            batch: Preprocessed training batch. Only its observations are used; SDM learns from the teacher.

        Returns:
            The summed loss, and each part of it for the log.
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
        if regress:
            parts["regression_loss"] = regression_loss(actions, target, config.regression_delta)
        if generator_turn and not warm:
            parts["matching_loss"] = self._matching_loss(actions, cond, random)
        if not warm:
            parts["fake_score_loss"] = self._fake_score_loss(actions.detach(), cond, random)
        weights = {"regression_loss": regression_weight}
        total = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        return total, {name: part.item() for name, part in parts.items()}

    @torch.no_grad()
    def _starts(
        self, batch: dict[str, Tensor], random: torch.Generator, regress: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Where this iteration's actions start: conditions (B, F), start noise (B, T, A) and, for the regression, what
        the teacher's own sampler makes of both (B, T, A).

        With `pair_reuse` of r the teacher samples in every r-th iteration, and all of them draw from what it has
        sampled lately.
        """
        if self._pairs and self.train_step % self.config.pair_reuse:
            return self._pairs[0].draw(len(batch[OBS_STATE]), random)
        cond = self.model.encode(batch)
        noise = torch.randn((len(cond), *self.model.action_shape), generator=random, device=cond.device)
        target = None
        if regress or self._pairs:
            (teacher,) = self._teacher
            target = teacher.sample(noise, cond, self._teacher_timesteps)
        if self._pairs:
            self._pairs[0].add(cond, noise, target)
            return self._pairs[0].draw(len(cond), random)
        return cond, noise, target

    def _fake_score_loss(self, actions: Tensor, cond: Tensor, random: torch.Generator) -> Tensor:
        """x_0-regression of the fake score on the generator's actions, which must not receive its gradient."""
        x_t, t, _ = self._diffuse(actions, random)
        return F.mse_loss(self.fake_score(x_t, t, global_cond=cond), actions)

    def _matching_loss(self, actions: Tensor, cond: Tensor, random: torch.Generator) -> Tensor:
        """Surrogate whose gradient moves the generator's distribution towards the teacher's."""
        (teacher,) = self._teacher
        with torch.no_grad():
            x_t, t, alpha_bar = self._diffuse(actions, random)
            gradient = distribution_matching_gradient(
                x=actions,
                x_t=x_t,
                mu_real=teacher.unet(x_t, t, global_cond=cond),
                mu_fake=self.fake_score(x_t, t, global_cond=cond),
                alpha_bar=alpha_bar,
                weighting=self.config.weighting,
                floor=self.config.normalizer_floor,
            )
        return surrogate_loss(actions, gradient)

    def _diffuse(self, actions: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Noise actions to random levels: (x_t (B, T, A), t (B,), alpha_bar_t (B,))."""
        config, device = self.config, actions.device
        low, high = (round(share * (config.num_train_timesteps - 1)) for share in config.timestep_range)
        if config.timestep_levels is None:
            t = torch.randint(low, high + 1, actions.shape[:1], generator=random, device=device)
        else:
            levels = torch.tensor(ddim_timesteps(config.num_train_timesteps, config.timestep_levels), device=device)
            t = levels[torch.randint(len(levels), actions.shape[:1], generator=random, device=device)]
        noise = torch.randn(actions.shape, generator=random, device=device, dtype=actions.dtype)
        alpha_bar = self.model.alphas_cumprod[t]
        return add_noise(actions, noise, alpha_bar), t, alpha_bar

    def _is_generator_turn(self, step: int) -> bool:
        warmup, ratio = self.config.warmup_steps, self.config.fake_updates_per_generator_update
        return step < warmup or (step - warmup) % ratio == 0

    def update(self) -> None:
        """LeRobot calls this behind each optimizer step."""
        if self.average is not None and self._is_generator_turn(self.train_step):
            warmup, ratio = self.config.warmup_steps, self.config.fake_updates_per_generator_update
            turns = min(self.train_step, warmup) + max(0, self.train_step - warmup) // ratio
            update_average(
                self.average,
                self.model,
                warmup_decay(turns, self.config.ema_power, self.config.ema_max_decay),
            )
        self.train_step += 1

    def get_optim_params(self) -> list[dict[str, Any]]:
        """Two parameter groups, each clipped and scheduled on its own."""
        config = self.config
        return [
            {
                "params": list(self.model.unet.parameters()),
                "lr": config.generator_lr,
                "max_norm": config.generator_grad_clip_norm,
                "warmup_steps": config.generator_warmup_steps,
                "final_lr_ratio": config.generator_final_lr_ratio,
            },
            {
                "params": list(self.fake_score.parameters()),
                "lr": config.fake_score_lr,
                "max_norm": config.fake_score_grad_clip_norm,
                "warmup_steps": config.fake_score_warmup_steps,
                "final_lr_ratio": config.fake_score_final_lr_ratio,
            },
        ]
