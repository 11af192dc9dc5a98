"""Configuration of Consistency Policy: a student of `edm` that acts with one or a few network evaluations."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_below_one, check_known
from lerobot_sdm.policies.edm.configuration_edm import EdmConfig
from lerobot_sdm.policies.optimizer_settings import OptimizerSettings
from lerobot_sdm.policies.settings import check_above_zero, check_not_negative
from lerobot_sdm.policies.source.student_config import StudentConfig
from lerobot_sdm.registration import registered

OF_NETWORK = (
    *("use_color", "n_points", "depth_to_cloud", "encoder_hidden_dims", "encoder_out_dim", "state_mlp_dims"),
    *("vision_backbone", "pretrained_backbone_weights", "use_group_norm", "spatial_softmax_num_keypoints"),
    *("resize_shape", "crop_shape", "crop_is_random", "down_dims", "blocks_per_level", "kernel_size", "n_groups"),
    *("diffusion_step_embed_dim", "use_film_scale_modulation", "gradient_checkpointing", "clip_sample_range"),
    *("sigma_min", "sigma_max", "rho", "bins", "sigma_data", "boundary"),
)
"""Fields of earlier versions that repeated the teacher's; now they are in `network`."""

IN_BOTH = ("n_obs_steps", "horizon", "n_action_steps", "normalization_mapping", "input_features", "output_features")
"""Fields that student and network both have."""

CHAINING_UNITS = ("bins", "sigma")
DENOISING_BY = ("estimate", "jump")


@registered(PreTrainedConfig, "consistency")
@dataclass
class ConsistencyConfig(OptimizerSettings, StudentConfig):
    """Consistency Policy (Prasad et al. 2024): a consistency trajectory model (Kim et al. 2023) of an `edm` teacher.

    The defaults are the corrected algorithm; `docs/deviations.md` lists each released behavior with the field that
    restores it. See `StudentConfig` and `OptimizerSettings` for inherited fields.

    Args:
        teacher_use_ema: Learn from the teacher's EMA model, which is the one evaluated; false for its raw weights, as
            released, which are in the `training_state.safetensors` of the teacher's checkpoint.
        dropout_rate: Dropout rate of the U-Net's residual blocks, or of the mixer's MLPs over steps and channels, in
            student and target.
        mid_dropout_rate: The same for the U-Net's middle blocks; None for `dropout_rate`.
        do_mask_loss_for_padding: Exclude actions beyond the end of an episode from the loss.
        initial_std: Standard deviation of the start noise; 1 stands for the teacher's value.
        ctm_weight: Weight of the consistency loss; 0 disables it.
        dsm_weight: Weight of the denoising loss; 0 disables it.
        dsm_by: What learns to denoise: "estimate", the network for a jump of zero length, as in Kim et al., or "jump",
            the jump to the end, as released. The jump to the end has to commit to one mode of the actions; denoising
            pulls it back to the mean of all modes.
        ctm_loss_norm: Distance of the consistency loss; see `diffusion.distance`.
        loss_norm: Distance of the denoising loss.
        sigma_log_mean: Mean of log sigma in the denoising loss.
        sigma_log_std: Its standard deviation.
        max_solver_steps: Maximum steps of the teacher's solver in a training step. 1 is the paper's "CTM-local".
        target_ema_decay: EMA decay of the consistency target. 0, as released: a copy of the student.
        chaining_times: Bins to which actions are noised again, for one further evaluation each: 27,54 of 80 makes
            the three-step policy of the paper. Empty for one step. May be changed at evaluation.
        chaining_unit: "bins", or "sigma" if `chaining_times` are standard deviations.
    """

    source_types: ClassVar[tuple[str, ...]] = ("edm",)
    retired: ClassVar[tuple[str, ...]] = (*OF_NETWORK, "sampler", "num_inference_steps", "warm_start")

    teacher_use_ema: bool = True
    ema_max_decay: float = 0.9999

    dropout_rate: float = 0.2
    mid_dropout_rate: float | None = None
    do_mask_loss_for_padding: bool = False
    initial_std: float = 1.0

    ctm_weight: float = 1.0
    dsm_weight: float = 1.0
    dsm_by: str = "estimate"
    ctm_loss_norm: str = "pseudo_huber"
    loss_norm: str = "mse"
    sigma_log_mean: float = -1.2
    sigma_log_std: float = 1.2
    max_solver_steps: int = 1
    target_ema_decay: float = 0.0

    chaining_times: tuple[float, ...] = ()
    chaining_unit: str = "bins"

    @classmethod
    def upgraded(cls, saved: dict[str, Any]) -> dict[str, Any]:
        steps = saved.get("num_inference_steps", 1)
        if steps != 1:
            raise InputError(
                f"--policy.num_inference_steps={steps}: must be 1. Drop the option, and set --policy.chaining_times, "
                "each of which adds a step."
            )
        # A student in training was built from these fields; a new one reads its teacher's configuration instead.
        began = saved.get("teacher_path") is None or saved.get("teacher_sha256") is not None
        if began and saved.get("network") is None and saved.keys() & set(OF_NETWORK):
            network = {name: saved[name] for name in (*OF_NETWORK, *IN_BOTH) if name in saved}
            saved = {**saved, "network": {"type": "edm", **network}}
        return super().upgraded(saved)

    def take_from(self, teacher: PreTrainedConfig) -> None:
        if self.initial_std == type(self).initial_std:
            self.initial_std = teacher.initial_std

    @cached_property
    def network_config(self) -> EdmConfig:
        """The teacher's configuration, with the student's dropout.

        Raises:
            InputError: No teacher is named.
        """
        network = super().network_config
        network.dropout_rate, network.mid_dropout_rate = self.dropout_rate, self.mid_dropout_rate
        network.check_backbone(network.horizon)
        # The encoder gets the teacher's weights, so do not download pretrained ones.
        network.pretrained_backbone_weights = None
        return network

    def check_settings(self) -> None:
        self._check_distillation()
        self._check_chaining()

    def _check_distillation(self) -> None:
        from lerobot_sdm.diffusion.distance import NORMS

        check_known("--policy.ctm_loss_norm", self.ctm_loss_norm, NORMS)
        check_known("--policy.dsm_by", self.dsm_by, DENOISING_BY)
        check_known("--policy.loss_norm", self.loss_norm, NORMS)
        check_above_zero(self, "initial_std", "sigma_log_std")
        for name in ("dropout_rate", "mid_dropout_rate"):
            check_below_one(f"--policy.{name}", getattr(self, name))
        check_not_negative(self, "ctm_weight", "dsm_weight")
        if self.ctm_weight == self.dsm_weight == 0:
            raise InputError(
                "--policy.ctm_weight=0: with --policy.dsm_weight=0, there is no loss. Set one of them above 0."
            )
        check_below_one("--policy.target_ema_decay", self.target_ema_decay)

    def _check_chaining(self) -> None:
        """Reject times that are out of range, or not decreasing in noise."""
        check_known("--policy.chaining_unit", self.chaining_unit, CHAINING_UNITS)
        in_bins, given = self.chaining_unit == "bins", f"--policy.chaining_times={list(self.chaining_times)}"
        if self.network is not None:
            self._check_range(given, in_bins)
        for before, after in pairwise(self.chaining_times):
            if (after <= before) if in_bins else (after >= before):
                raise InputError(
                    f"{given}: noise must decrease from step to step, and {after} is not below {before} in noise "
                    f"(unit: {self.chaining_unit}; bins count from pure noise, so they must increase)."
                )

    def _check_range(self, given: str, in_bins: bool) -> None:
        network = self.network_config
        for time in self.chaining_times:
            if in_bins and not (time == int(time) and 1 <= time <= network.bins - 2):
                raise InputError(
                    f"{given}: {time} must be a bin in 1 ... {network.bins - 2}. Bin 0 is pure noise, where the first "
                    f"step starts; bin {network.bins - 1} has almost no noise, so there is nothing left to denoise."
                )
            if not in_bins and not network.sigma_min < time < network.sigma_max:
                raise InputError(f"{given}: {time} must lie between {network.sigma_min} and {network.sigma_max}.")
