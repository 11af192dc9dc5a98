"""Configuration of Adjoint Matching: a diffusion policy fine-tuned toward a higher predicted reward."""

from dataclasses import dataclass
from typing import ClassVar

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_at_least, check_known
from lerobot_sdm.policies.distilled_config import DistilledConfig
from lerobot_sdm.policies.settings import check_not_negative
from lerobot_sdm.registration import registered

ADJOINTS = ("next", "current")


@registered(PreTrainedConfig, "adjoint_matching")
@dataclass
class AdjointMatchingConfig(DistilledConfig):
    """Adjoint Matching (Domingo-Enrich et al. 2024) of a `dp3` or a LeRobot `diffusion` policy.

    The policy becomes p(actions | observation) ~ p_base(actions | observation) exp(reward_weight * reward). It keeps
    its base's network, observations and processors, and may be used with any sampler of its base. The defaults are the
    corrected algorithm; `docs/deviations.md` lists the released behaviors. See `DistilledConfig` for inherited fields;
    what it calls the teacher is the base.

    Args:
        base_path: Folder or Hub repo of the policy to fine-tune; needed for training, not for evaluation.
        base_revision: Hub revision of the base.
        reward_path: Folder or Hub repo of a `chunk_reward` trained for that base; needed for training.
        reward_revision: Hub revision of the reward model.
        reward_sha256: Hash of the reward model's weights. Filled in by training; a resumed run refuses another one.
        reward_weight: Weight of a unit of reward relative to a unit of KL divergence from the base.
        reward_pessimism: How many standard deviations of the ensemble are subtracted from the predicted reward, to
            avoid chunks about which the ensemble is uncertain.
        sampling_steps: Steps of the memoryless process in training, at evenly spaced timesteps.
        loss_steps: Number of these steps that each iteration learns from, spread over the trajectory.
        adjoint: "next", which is exact for the discrete steps, or "current", as in the paper's own code.
        adjoint_clip_quantile: Adjoint norms are clipped at this quantile of the batch; 1 for no clipping.
        max_skipped_steps: Training stops after this many consecutive iterations with non-finite adjoints.
        num_inference_steps: Network evaluations of deterministic DDIM at inference; None for the number in the base's
            configuration.
        finetune_lr: Learning rate. Adam's steps have this size however small the gradient: at 1e-4 a small network
            drifted further from its base than the reward required.
        finetune_grad_clip_norm: Gradient norm at which the network is clipped; 0 for no clipping.
        finetune_warmup_steps: Learning-rate warm-up, in optimizer steps.
        finetune_final_lr_ratio: Final learning rate as a fraction of the initial one (cosine schedule).
    """

    role: ClassVar[str] = "base"
    retired: ClassVar[tuple[str, ...]] = (*DistilledConfig.retired, "teacher_inference_steps", "feature_memory_mb")

    base_path: str | None = None
    base_revision: str | None = None
    reward_path: str | None = None
    reward_revision: str | None = None
    reward_sha256: str | None = None

    reward_weight: float = 100.0
    reward_pessimism: float = 1.0
    sampling_steps: int = 20
    loss_steps: int = 4
    adjoint: str = "next"
    adjoint_clip_quantile: float = 0.9
    max_skipped_steps: int = 20

    num_inference_steps: int | None = None

    finetune_lr: float = 2e-5
    finetune_grad_clip_norm: float = 1.0
    finetune_warmup_steps: int = 10
    finetune_final_lr_ratio: float = 0.05

    def __post_init__(self) -> None:
        if self.base_path is not None:
            self.teacher_path, self.teacher_revision = self.base_path, self.base_revision
        super().__post_init__()

    def check_settings(self) -> None:
        check_known("--policy.adjoint", self.adjoint, ADJOINTS)
        check_not_negative(self, "reward_weight", "reward_pessimism")
        if not 0 < self.adjoint_clip_quantile <= 1:
            raise InputError(
                f"--policy.adjoint_clip_quantile={self.adjoint_clip_quantile}: must lie above 0 and be at most 1 "
                "(which shortens none)."
            )
        check_at_least("--policy.max_skipped_steps", self.max_skipped_steps)
        if self.network is not None:
            levels = self.last_timestep + 1
            if not 2 <= self.sampling_steps <= levels:
                raise InputError(f"--policy.sampling_steps={self.sampling_steps}: must lie in 2 ... {levels}.")
            steps, most = self.num_inference_steps, self.network_config.num_train_timesteps
            if steps is not None and not 1 <= steps <= most:
                raise InputError(f"--policy.num_inference_steps={steps}: must lie in 1 ... {most}.")
        # The last step has no noise, so there is nothing to control.
        if not 1 <= self.loss_steps < self.sampling_steps:
            raise InputError(
                f"--policy.loss_steps={self.loss_steps}: must lie in 1 ... {self.sampling_steps - 1}, the sampling "
                "steps with noise."
            )
