"""Configuration of Score and Distribution Matching (SDM): a one-step student of a diffusion teacher."""

from dataclasses import dataclass
from typing import Any, ClassVar

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.distilled_config import DistilledConfig
from lerobot_sdm.policies.sdm import GENERATOR_TIMESTEP
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "sdm")
@dataclass
class SDMConfig(DistilledConfig):
    """Score and Distribution Matching (Jia et al. 2024): distills a diffusion policy into one network evaluation.

    Generator, fake score and teacher have the same architecture and start from the same weights. The defaults are the
    corrected algorithm; `docs/deviations.md` lists each released behavior with the field that restores it. See
    `DistilledConfig` for inherited fields.

    Args:
        generator_timestep: Timestep that the generator is conditioned on, in training and at inference. At T - 1 the
            teacher has learned to ignore its input, so a generator that starts there must learn from scratch how the
            start noise selects a mode; at a somewhat lower timestep the teacher already does so. None: 70% of T.
        teacher_inference_steps: Network evaluations of the teacher for the samples that the generator learns from; None
            for the number in the teacher's configuration.
        feature_memory_mb: Memory limit (MB) of the cache of frame features, with which the frozen encoder sees each
            frame only once. If they need more, with images (which may be augmented), or at 0, features are recomputed
            in every step.
        warmup_steps: Initial steps in which the generator only regresses onto the teacher's own samples from the
            same start noise ("ODE pairs").
        regression_weight: Weight of that regression afterwards; 0 disables it, as released.
        regression_delta: The regression's loss is quadratic in a sample's error (root mean square over its entries,
            normalized action units) up to about here and linear beyond; see `regression_loss`. None: quadratic.
        pair_reuse: How often each of the teacher's samples is used, on average. The teacher's ten evaluations are most
            of an iteration's cost; with 8 it samples only in every eighth iteration.
        pair_buffer_size: Number of samples kept to draw from, if `pair_reuse` is above 1.
        fake_updates_per_generator_update: Two-time-scale ratio, counted in iterations.
        weighting: "per_sample" (DMD), "none" or "released"; see `distribution_matching_gradient`.
        normalizer_floor: Smallest per-sample normalizer, in normalized action units.
        timestep_range: Range of the noise levels used for matching, as fractions of T; none beyond `last_timestep`.
        timestep_levels: Number of evenly spaced noise levels; None for all. Released: 10.
        generator_lr: Learning rate of the generator.
        fake_score_lr: Learning rate of the fake-score network.
        generator_grad_clip_norm: Gradient norm at which the generator is clipped; 0 for no clipping.
        fake_score_grad_clip_norm: The same for the fake-score network.
        generator_warmup_steps: Learning-rate warm-up of the generator.
        fake_score_warmup_steps: The same for the fake-score network.
        generator_final_lr_ratio: Final learning rate of the generator as a fraction of the initial one (cosine
            schedule).
        fake_score_final_lr_ratio: The same for the fake score; 1 keeps it constant. A fake score whose learning rate
            decays with the generator's no longer tracks it, and matching a stale score shifts the weights of the modes.
    """

    retired: ClassVar[tuple[str, ...]] = (*DistilledConfig.retired, "num_inference_steps")

    generator_timestep: int | None = None
    teacher_inference_steps: int | None = None
    feature_memory_mb: int = 1024

    warmup_steps: int = 1000
    regression_weight: float = 1.0
    regression_delta: float | None = 0.03
    pair_reuse: int = 1
    pair_buffer_size: int = 16384
    fake_updates_per_generator_update: int = 5
    weighting: str = "per_sample"
    normalizer_floor: float = 0.5
    timestep_range: tuple[float, float] = (0.02, 0.98)
    timestep_levels: int | None = None

    generator_lr: float = 2e-4
    fake_score_lr: float = 5e-4
    generator_grad_clip_norm: float = 1.0
    fake_score_grad_clip_norm: float = 1.0
    generator_warmup_steps: int = 50
    fake_score_warmup_steps: int = 50
    generator_final_lr_ratio: float = 0.05
    fake_score_final_lr_ratio: float = 1.0

    @classmethod
    def upgraded(cls, saved: dict[str, Any]) -> dict[str, Any]:
        steps = saved.get("num_inference_steps", 1)
        if steps != 1:
            raise InputError(
                f"--policy.num_inference_steps={steps}: must be 1, because sdm is a one-step policy. Drop the option, "
                "or use --policy.type=consistency for few-step sampling."
            )
        return super().upgraded(saved)

    def check_settings(self) -> None:
        from lerobot_sdm.diffusion.distribution_matching import WEIGHTINGS

        if self.weighting not in WEIGHTINGS:
            raise InputError(f"--policy.weighting={self.weighting}: must be one of {', '.join(WEIGHTINGS)}.")
        if self.fake_updates_per_generator_update < 1:
            raise InputError(
                f"--policy.fake_updates_per_generator_update={self.fake_updates_per_generator_update}: must be at "
                "least 1."
            )
        if self.regression_delta is not None and self.regression_delta <= 0:
            raise InputError(
                f"--policy.regression_delta={self.regression_delta}: must be above 0, or null for the squared error."
            )
        for name in ("pair_reuse", "pair_buffer_size"):
            if getattr(self, name) < 1:
                raise InputError(f"--policy.{name}={getattr(self, name)}: must be at least 1.")
        low, high = self.timestep_range
        if not 0 <= low < high <= 1:
            raise InputError(f"--policy.timestep_range={list(self.timestep_range)}: must be 0 <= low < high <= 1.")
        if self.network is not None:
            steps, most = self.teacher_inference_steps, self.network_config.num_train_timesteps
            if steps is not None and not 1 <= steps <= most:
                raise InputError(f"--policy.teacher_inference_steps={steps}: must lie in 1 ... {most}.")
            default = round(GENERATOR_TIMESTEP / 100 * most)
            self.generator_timestep = self.checked_timestep("generator_timestep", default)
