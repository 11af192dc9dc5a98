"""Configuration of Consistency Policy: a student of `edm` with one network evaluation, or a few."""

from dataclasses import dataclass, fields
from itertools import pairwise

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.policies.edm.configuration_edm import EdmConfig
from lerobot_sdm.registration import registered

TEACHER_TYPES = ("edm",)

COPIED_FROM_TEACHER = (
    *("n_obs_steps", "horizon", "normalization_mapping"),
    *("use_color", "n_points", "depth_to_cloud", "encoder_hidden_dims", "encoder_out_dim", "state_mlp_dims"),
    *("vision_backbone", "use_group_norm", "spatial_softmax_num_keypoints", "resize_shape", "crop_shape"),
    *("down_dims", "blocks_per_level", "kernel_size", "n_groups", "diffusion_step_embed_dim"),
    *("use_film_scale_modulation", "sigma_min", "sigma_max", "rho", "bins", "sigma_data", "boundary"),
)
"""Fields that decide what the network is. The student starts from its teacher's, so they are not free."""

TAKEN_FROM_TEACHER = ("n_action_steps", "initial_std", "clip_sample_range")
"""Fields that are the teacher's where nothing else is asked for."""

CHAINING_UNITS = ("bins", "sigma")
DENOISING_BY = ("estimate", "jump")


@registered(PreTrainedConfig, "consistency")
@dataclass
class ConsistencyConfig(EdmConfig):
    """Consistency Policy (Prasad et al. 2024): a consistency trajectory model (Kim et al. 2023) of an `edm` teacher.

    Everything that describes the network is read from the teacher; contradicting it is an error. The defaults are the
    corrected algorithm; `docs/deviations.md` lists each released behaviour with the field that brings it back. What is
    not listed here is in `EdmConfig`.

    Args:
        teacher_path: Folder or Hub repo of the teacher; needed for training, not for evaluation.
        teacher_revision: Hub revision of the teacher.
        teacher_sha256: Hash of the teacher's weights. Filled in by training; a resumed run refuses another teacher.
        teacher_use_ema: Learn from the teacher's average, which is what is evaluated; false for its raw weights, as
            released, which a finished teacher has in its `training_state.safetensors`.
        warm_start: Start the network as the teacher's, with columns of zeros for the stop time. Without it only the
            encoder is the teacher's.
        dropout_rate: Share of entries dropped in the U-Net's residual blocks, in student and target.
        ctm_weight: Weight of the consistency loss; 0 leaves it out.
        dsm_weight: Weight of the denoising loss; 0 leaves it out.
        dsm_by: What learns to denoise: "estimate", the network where it would not move, as in Kim et al., or "jump",
            the jump to the end, as released. The jump to the end has to commit to one of several ways to act; denoising
            pulls it back to their mean.
        ctm_loss_norm: Distance of the consistency loss; see `diffusion.distance`.
        loss_norm: Distance of the denoising loss.
        max_solver_steps: Most steps of the teacher's solver in one step of training. 1 is the paper's "CTM-local".
        target_ema_decay: Decay of the average that the consistency target comes from. 0, as released: a copy.
        chaining_times: Bins to which actions are noised again, for one further evaluation each: 27,54 of 80 makes
            the three-step policy of the paper. Empty for one step. May be changed at evaluation.
        chaining_unit: "bins", or "sigma" for `chaining_times` that are standard deviations.
        num_inference_steps: Always 1; further steps are `chaining_times`.
    """

    teacher_path: str | None = None
    teacher_revision: str | None = None
    teacher_sha256: str | None = None
    teacher_use_ema: bool = True
    warm_start: bool = True

    dropout_rate: float = 0.2
    ctm_weight: float = 1.0
    dsm_weight: float = 1.0
    dsm_by: str = "estimate"
    ctm_loss_norm: str = "pseudo_huber"
    max_solver_steps: int = 1
    target_ema_decay: float = 0.0

    chaining_times: tuple[float, ...] = ()
    chaining_unit: str = "bins"
    num_inference_steps: int = 1

    def __post_init__(self) -> None:
        # A saved student carries the hash and the copied fields: it stands alone, and its teacher may be gone.
        if self.teacher_path is not None and self.teacher_sha256 is None:
            self._copy_from_teacher()
        super().__post_init__()
        self._check_distillation()
        self._check_chaining()

    def _copy_from_teacher(self) -> None:
        """Take the network from the teacher. LeRobot cuts the data set into windows before it builds the policy, so
        this cannot wait."""
        from lerobot_sdm.teachers import read_teacher_config

        teacher = read_teacher_config(self.teacher_path, self.teacher_revision, TEACHER_TYPES)
        standard = {f.name: f.default for f in fields(self)}
        for name in COPIED_FROM_TEACHER:
            mine, theirs = getattr(self, name), getattr(teacher, name)
            if name != "normalization_mapping" and mine not in (standard[name], theirs):
                raise InputError(
                    f"--policy.{name}={mine}: the teacher at {self.teacher_path} has {theirs}, and the student starts "
                    "from its network. Leave the option out."
                )
            setattr(self, name, theirs)
        for name in TAKEN_FROM_TEACHER:
            if getattr(self, name) == standard[name]:
                setattr(self, name, getattr(teacher, name))
        # The encoder's weights are the teacher's: there is nothing to download.
        self.pretrained_backbone_weights = None

    def _check_distillation(self) -> None:
        from lerobot_sdm.diffusion.distance import NORMS

        if self.ctm_loss_norm not in NORMS:
            raise unknown_name("--policy.ctm_loss_norm", self.ctm_loss_norm, NORMS)
        if self.dsm_by not in DENOISING_BY:
            raise unknown_name("--policy.dsm_by", self.dsm_by, DENOISING_BY)
        for name in ("ctm_weight", "dsm_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"--policy.{name}={getattr(self, name)}: must not be below 0.")
        if self.ctm_weight == self.dsm_weight == 0:
            raise InputError("--policy.ctm_weight=0: with --policy.dsm_weight=0 too there is nothing to learn.")
        if self.max_solver_steps < 1:
            raise InputError(f"--policy.max_solver_steps={self.max_solver_steps}: at least 1.")
        if not 0 <= self.target_ema_decay < 1:
            raise InputError(f"--policy.target_ema_decay={self.target_ema_decay}: must lie in 0 ... 1, 1 excluded.")

    def _check_chaining(self) -> None:
        """Refuse times that are out of range, or at which the noise would not decrease."""
        if self.num_inference_steps != 1:
            raise InputError(
                f"--policy.num_inference_steps={self.num_inference_steps}: a consistency policy has one step, and one "
                "more for each of --policy.chaining_times."
            )
        if self.chaining_unit not in CHAINING_UNITS:
            raise unknown_name("--policy.chaining_unit", self.chaining_unit, CHAINING_UNITS)
        in_bins, given = self.chaining_unit == "bins", f"--policy.chaining_times={list(self.chaining_times)}"
        for time in self.chaining_times:
            if in_bins and not (time == int(time) and 1 <= time <= self.bins - 2):
                raise InputError(
                    f"{given}: {time} is no bin of 1 ... {self.bins - 2}; bin 0 is pure noise, where the first step "
                    f"starts, and bin {self.bins - 1} hardly any, where nothing is left to do."
                )
            if not in_bins and not self.sigma_min < time < self.sigma_max:
                raise InputError(f"{given}: {time} is no noise between {self.sigma_min} and {self.sigma_max}.")
        for before, after in pairwise(self.chaining_times):
            if (after <= before) if in_bins else (after >= before):
                raise InputError(
                    f"{given}: noise must decrease from step to step, and {after} is not below {before} in noise "
                    f"(unit: {self.chaining_unit}; bins count from pure noise, so they must increase)."
                )
