"""Configuration of Score and Distribution Matching (SDM): a one-step student of a diffusion teacher."""

from dataclasses import dataclass, fields

from lerobot.optim.optimizers import OptimizerConfig
from lerobot.optim.schedulers import LRSchedulerConfig

from lerobot_sdm.errors import InputError
from lerobot_sdm.optim import PerGroupAdamWConfig, PerGroupCosineConfig
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config

COPIED_FROM_TEACHER = (
    "n_obs_steps",
    "horizon",
    "normalization_mapping",
    "use_color",
    "n_points",
    "depth_to_cloud",
    "encoder_hidden_dims",
    "encoder_out_dim",
    "state_mlp_dims",
    "down_dims",
    "blocks_per_level",
    "kernel_size",
    "n_groups",
    "diffusion_step_embed_dim",
    "use_film_scale_modulation",
    "num_train_timesteps",
    "beta_schedule",
    "clip_sample_range",
)
"""Fields that decide what the networks are. The student starts as a copy of its teacher, so they are not free."""


GENERATOR_TIMESTEP = 70
"""Default `generator_timestep`, of T = 100: signal power 0.19."""


@dataclass
class SDMConfig(DP3Config):
    """Score and Distribution Matching (Jia et al. 2024): distils a diffusion policy into one network evaluation.

    Generator, fake score and teacher are the same network and start from the same weights. Everything that
    describes the network is read from the teacher; contradicting it is an error. The defaults are the corrected
    algorithm; `docs/deviations.md` lists each released behaviour with the field that brings it back.

    Args:
        teacher_path: Folder or Hub repo of the teacher; needed for training, not for evaluation.
        teacher_revision: Hub revision of the teacher.
        teacher_sha256: Hash of the teacher's weights. Filled in by training; a resumed run refuses another teacher.
        num_inference_steps: Always 1.
        generator_timestep: Timestep the generator is conditioned at, in training and in use. At T - 1 the teacher
            has learned to ignore its input, so that a generator which starts there has to learn from nothing what
            the start noise decides; some levels lower it already picks one of several ways to act.
        warmup_steps: First steps in which the generator only regresses onto the teacher's own samples from the
            same start noise ("ODE pairs").
        regression_weight: Weight of that regression afterwards; 0 leaves it out, as released.
        regression_delta: The regression's loss is quadratic in a sample's error (root mean square over its entries,
            normalised action units) up to about here and linear beyond; see `pseudo_huber_loss`. None: quadratic.
        pair_reuse: How often each of the teacher's samples is learned from, on average. The teacher's ten evaluations
            are most of an iteration's cost; with 8 it samples in every eighth iteration only.
        pair_buffer_size: With `pair_reuse` above 1: how many samples are kept to draw from.
        fake_updates_per_generator_update: Two-time-scale ratio, counted in iterations.
        weighting: "per_sample" (DMD), "none" or "released"; see `distribution_matching_gradient`.
        normalizer_floor: Smallest per-sample normaliser, in normalised action units.
        timestep_range: Noise levels used for matching, as shares of T.
        timestep_levels: Number of evenly spaced noise levels; None for all. Released: 10.
        generator_lr: Learning rate of the generator.
        fake_score_lr: Learning rate of the fake-score network.
        generator_grad_clip_norm: Gradient norm at which the generator is clipped; 0 for none.
        fake_score_grad_clip_norm: The same for the fake-score network.
        generator_warmup_steps: Learning-rate warm-up of the generator.
        fake_score_warmup_steps: The same for the fake-score network.
        generator_final_lr_ratio: Share of the generator's learning rate that is left at the end of its cosine schedule.
        fake_score_final_lr_ratio: The same for the fake score; 1 keeps it constant. A critic that slows down with the
            generator no longer follows it, and matching against a stale score shifts the shares of the modes.
    """

    teacher_path: str | None = None
    teacher_revision: str | None = None
    teacher_sha256: str | None = None

    num_inference_steps: int = 1
    generator_timestep: int = GENERATOR_TIMESTEP

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

    optimizer_betas: tuple[float, float] = (0.9, 0.99)
    ema_max_decay: float = 0.995

    def __post_init__(self) -> None:
        # A saved student carries the hash and the copied fields: it stands alone, and its teacher may be gone.
        if self.teacher_path is not None and self.teacher_sha256 is None:
            self._copy_from_teacher()
        super().__post_init__()
        self._check_distillation()

    def _copy_from_teacher(self) -> None:
        """Take the network from the teacher. LeRobot cuts the data set into windows before it builds the policy, so
        this cannot wait."""
        from lerobot_sdm.teachers import read_teacher_config

        teacher = read_teacher_config(self.teacher_path, self.teacher_revision)
        defaults = {f.name: f.default for f in fields(DP3Config)}
        for name in COPIED_FROM_TEACHER:
            mine, theirs = getattr(self, name), getattr(teacher, name)
            if name != "normalization_mapping" and mine != defaults[name] and mine != theirs:
                raise InputError(
                    f"--policy.{name}={mine}: the teacher at {self.teacher_path} has {theirs}, and the student starts "
                    "as its copy. Leave the option out."
                )
            setattr(self, name, theirs)
        if self.n_action_steps == defaults["n_action_steps"]:
            self.n_action_steps = teacher.n_action_steps

    def _check_distillation(self) -> None:
        from lerobot_sdm.diffusion.distribution_matching import WEIGHTINGS

        if self.num_inference_steps != 1:
            raise InputError(f"--policy.num_inference_steps={self.num_inference_steps}: an sdm policy has one step.")
        if self.weighting not in WEIGHTINGS:
            raise InputError(f"--policy.weighting={self.weighting}: must be one of {', '.join(WEIGHTINGS)}.")
        if self.fake_updates_per_generator_update < 1:
            raise InputError(
                f"--policy.fake_updates_per_generator_update={self.fake_updates_per_generator_update}: at least 1."
            )
        if self.regression_delta is not None and self.regression_delta <= 0:
            raise InputError(
                f"--policy.regression_delta={self.regression_delta}: must be above 0, or null for the squared error."
            )
        for name in ("pair_reuse", "pair_buffer_size"):
            if getattr(self, name) < 1:
                raise InputError(f"--policy.{name}={getattr(self, name)}: at least 1.")
        low, high = self.timestep_range
        if not 0 <= low < high <= 1:
            raise InputError(f"--policy.timestep_range={list(self.timestep_range)}: must be 0 <= low < high <= 1.")
        if not 0 <= self.generator_timestep < self.num_train_timesteps:
            raise InputError(
                f"--policy.generator_timestep={self.generator_timestep}: must lie in 0 ... "
                f"{self.num_train_timesteps - 1}."
            )

    def get_optimizer_preset(self) -> OptimizerConfig:
        return PerGroupAdamWConfig(
            lr=self.generator_lr,
            betas=self.optimizer_betas,
            eps=self.optimizer_eps,
            weight_decay=self.optimizer_weight_decay,
        )

    def get_scheduler_preset(self) -> LRSchedulerConfig | None:
        return PerGroupCosineConfig()
