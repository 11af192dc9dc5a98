"""Configuration of ManiCM: consistency distillation of a diffusion teacher into one or a few steps."""

from dataclasses import dataclass
from typing import ClassVar

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_below_one, check_known
from lerobot_sdm.policies.distilled_config import DistilledConfig
from lerobot_sdm.registration import registered


@registered(PreTrainedConfig, "manicm")
@dataclass
class ManiCMConfig(DistilledConfig):
    """ManiCM (Lu et al. 2024): a consistency model of a diffusion policy that acts with one or a few evaluations.

    The defaults are the corrected algorithm; `docs/deviations.md` lists each released behavior with the field that
    restores it. See `DistilledConfig` for inherited fields.

    Args:
        num_inference_steps: Network evaluations per action chunk, 1 to 4; may be changed at evaluation.
        start_timestep: Noisiest timestep, where sampling begins. None: T - 1, or `last_timestep` for a teacher that
            predicts noise.
        solver_levels: Number of evenly spaced timesteps to train; the teacher's solver steps from one to the next.
        solver_noise: "estimated" (DDIM) or "released"; see `solver_step`.
        loss_delta: The loss is quadratic in a sample's error (root mean square over its entries, normalized action
            units) up to about here and linear beyond, see `regression_loss`. None: quadratic, as released.
        target_ema_decay: EMA decay of the target network.
        feature_memory_mb: Memory limit (MB) of the cache of frame features, with which the frozen encoder sees each
            frame only once. If they need more, with images (which may be augmented), or at 0, features are recomputed
            in every step.
        student_lr: Learning rate.
        student_grad_clip_norm: Gradient norm at which the student is clipped; 0 for no clipping.
        student_warmup_steps: Learning-rate warm-up, in optimizer steps.
        student_final_lr_ratio: Final learning rate as a fraction of the initial one (cosine schedule).
    """

    retired: ClassVar[tuple[str, ...]] = (*DistilledConfig.retired, "teacher_inference_steps")

    num_inference_steps: int = 1
    start_timestep: int | None = None
    solver_levels: int = 10
    solver_noise: str = "estimated"
    loss_delta: float | None = 0.03
    target_ema_decay: float = 0.95
    feature_memory_mb: int = 1024

    student_lr: float = 2e-4
    student_grad_clip_norm: float = 1.0
    student_warmup_steps: int = 50
    student_final_lr_ratio: float = 0.05

    def check_settings(self) -> None:
        from lerobot_sdm.diffusion.consistency_distillation import MAX_STEPS, SOLVER_NOISES

        most = min(MAX_STEPS, self.solver_levels)
        if not 1 <= self.num_inference_steps <= most:
            raise InputError(f"--policy.num_inference_steps={self.num_inference_steps}: must lie in 1 ... {most}.")
        check_known("--policy.solver_noise", self.solver_noise, SOLVER_NOISES)
        if self.loss_delta is not None and self.loss_delta <= 0:
            raise InputError(f"--policy.loss_delta={self.loss_delta}: must be above 0, or null for the squared error.")
        check_below_one("--policy.target_ema_decay", self.target_ema_decay)
        if self.network is not None:
            self.start_timestep = self.checked_timestep("start_timestep", self.last_timestep)
            if not 1 <= self.solver_levels <= self.start_timestep:
                raise InputError(
                    f"--policy.solver_levels={self.solver_levels}: must lie in 1 ... start_timestep="
                    f"{self.start_timestep}."
                )
