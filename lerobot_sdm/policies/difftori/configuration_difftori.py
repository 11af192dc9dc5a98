"""Configuration of DiffTORI: a base policy's action chunks, improved under a learned reward."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode
from lerobot.optim.optimizers import AdamConfig, OptimizerConfig

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError, check_at_least, check_known
from lerobot_sdm.policies.observation_config import ImageObservationConfig
from lerobot_sdm.policies.settings import check_above_zero, check_not_negative
from lerobot_sdm.registration import registered

if TYPE_CHECKING:
    from lerobot_sdm.policies.source.source_policy import SourcePolicy

COUPLINGS = ("sample", "batch")

COPIED_FROM_BASE = ("n_obs_steps", "normalization_mapping", "use_color", "depth_to_cloud")
"""Fields that must equal the base's: both policies see the same observations through the same pipelines."""


@registered(PreTrainedConfig, "difftori")
@dataclass
class DiffTORIConfig(ImageObservationConfig):
    """DiffTORI for imitation (Wan et al. 2024, https://arxiv.org/abs/2402.05421): chunks improved by a learned reward.

    A frozen base policy proposes a chunk of actions. An optimizer improves it under a learned reward, a function of
    observation, latent and chunk. Encoder and reward are trained on the error of the improved chunk, by differentiating
    through the last optimization steps. See `ImageObservationConfig` for inherited fields; the encoder's sizes may
    differ from the base's. `docs/deviations.md` explains the defaults that differ from the released code.

    Args:
        base_path: Folder or Hub repo of the base, a policy with action chunks; None to start from chunks of zeros.
            Needed to start training; afterwards the base is part of the checkpoint.
        base_revision: Hub revision of the base.
        base_sha256: Hash of the base's weights. Filled in by training.
        base: The base's configuration. Filled in from `base_path`.
        n_obs_steps: Observation frames; the base's.
        chunk_size: Number of actions that are optimized together, starting with the current frame's. With a base, the
            number that it executes.
        n_action_steps: How many of these are executed; None for all. May be changed at evaluation.
        latent_dim: Size of the latent, which distinguishes modes of the actions.
        hidden_dim: Width of the hidden layers of reward and posterior.
        n_iterations: Levenberg-Marquardt steps. May be changed at evaluation; 0 is the base alone.
        step_size: Fraction of each step that is taken. May be changed at evaluation.
        damping: Added to the squared norm of the reward's gradient. With g for the norm of that gradient, an iteration
            moves a chunk by about step_size * reward_offset * g / (damping + g^2).
        reward_offset: Offset of the residual, which is reward_offset - reward.
        clip_range: The reward sees actions clipped to plus and minus this, and has no gradient beyond; None for no
            clipping.
        coupling: "sample": each chunk is optimized by itself. "batch", as released: all chunks of a batch share one
            residual, their mean.
        coupled_copies: With "batch": number of copies of each observation, each with its own latent, that are optimized
            together at evaluation.
        n_recorded_iterations: Number of last iterations that training differentiates through.
        start_noise_std: Standard deviation of the noise added to the base's chunk in training.
        latent_std: Standard deviation of the latent at evaluation; 0 for the prior's mean. May be changed there.
        action_weight: Weight of the improved chunk's squared error.
        kl_weight: Weight of the latent's KL divergence from its prior.
        do_mask_loss_for_padding: Exclude actions beyond the end of an episode from the loss.
        optimizer_lr: Learning rate, constant.
        optimizer_betas: Adam's betas.
        optimizer_eps: Adam's epsilon.
        optimizer_weight_decay: Adam's weight decay.
        optimizer_grad_clip_norm: Joint gradient norm at which LeRobot clips; 0 for none.
    """

    base_path: str | None = None
    base_revision: str | None = None
    base_sha256: str | None = None
    base: dict[str, Any] | None = None

    chunk_size: int = 8
    n_action_steps: int | None = None

    latent_dim: int = 64
    hidden_dim: int = 256

    n_iterations: int = 100
    step_size: float = 3e-5
    damping: float = 1.28
    reward_offset: float = 1000.0
    clip_range: float | None = 1.0
    coupling: str = "sample"
    coupled_copies: int = 128
    n_recorded_iterations: int = 5
    start_noise_std: float = 0.0
    latent_std: float = 1.0

    action_weight: float = 3000.0
    kl_weight: float = 10.0
    do_mask_loss_for_padding: bool = False

    optimizer_lr: float = 1e-4
    optimizer_betas: tuple[float, float] = (0.9, 0.999)
    optimizer_eps: float = 1e-8
    optimizer_weight_decay: float = 0.0
    optimizer_grad_clip_norm: float = 0.0

    def __post_init__(self) -> None:
        # A saved policy contains its base, so the base's folder may no longer exist.
        if self.base is None and self.source is not None:
            self._read_base(self.source)
        if self.n_action_steps is None:
            self.n_action_steps = self.chunk_size
        super().__post_init__()

    @cached_property
    def source(self) -> "SourcePolicy | None":
        """The base; None if `base_path` is not set."""
        from lerobot_sdm.policies.difftori.base_policy import base_types
        from lerobot_sdm.policies.source.source_policy import SourcePolicy

        if self.base_path is None:
            return None
        return SourcePolicy(self.base_path, self.base_revision, "base", "--policy.base_path", base_types())

    def _read_base(self, source: "SourcePolicy") -> None:
        """Copy the settings in which both policies must agree. LeRobot cuts the dataset into windows before it builds
        the policy, so this cannot be done later."""
        from lerobot_sdm.policies.difftori.base_policy import observation_settings
        from lerobot_sdm.policies.source.description import describe
        from lerobot_sdm.policies.source.source_policy import copy_fields

        base = source.config
        self.base = describe(base)
        seen = observation_settings(base)
        copy_fields(self, seen, COPIED_FROM_BASE, source.owner, "both see the same observations")
        if self.chunk_size not in (type(self).chunk_size, base.n_action_steps):
            raise InputError(
                f"--policy.chunk_size={self.chunk_size}: the base at {self.base_path} executes {base.n_action_steps} "
                "actions of a chunk, and these are optimized. Drop the option."
            )
        self.chunk_size = base.n_action_steps
        if self.n_points is None:
            self.n_points = getattr(seen, "n_points", None)

    def _check_shapes(self) -> None:
        """Reject values that the networks or the optimization do not support."""
        super()._check_shapes()
        if self.n_action_steps is None or not 1 <= self.n_action_steps <= self.chunk_size:
            raise InputError(
                f"--policy.n_action_steps={self.n_action_steps}: must lie in 1 ... {self.chunk_size}, the actions that "
                "are optimized."
            )
        check_at_least("--policy.n_recorded_iterations", self.n_recorded_iterations)
        check_not_negative(self, "start_noise_std", "latent_std", "action_weight", "kl_weight")
        check_above_zero(self, "step_size", "damping")
        check_known("--policy.coupling", self.coupling, COUPLINGS)
        normalized = self.normalization_mapping.get("ACTION")
        if self.clip_range is not None and normalized is not NormalizationMode.MIN_MAX:
            raise InputError(
                f"--policy.clip_range={self.clip_range}: is meant for actions that are normalized to -1 ... 1, and "
                f"{'the base has' if self.base else 'here they have'} {getattr(normalized, 'value', 'no mode')}. Give "
                "--policy.clip_range=null."
            )

    @cached_property
    def base_config(self) -> PreTrainedConfig | None:
        """The base's configuration; None if there is no base."""
        from lerobot_sdm.policies.source.description import configuration

        return None if self.base is None else configuration(self.base, self.device)

    def validate_features(self) -> None:
        """Keep only the observations that the base uses; without a base, do what `ImageObservationConfig` does.

        Raises:
            InputError: An observation is missing, or a shape differs from the base's.
        """
        if self.base_config is None:
            super().validate_features()
            return
        from lerobot_sdm.policies.source.source_policy import check_same_features

        offered, base = dict(self.input_features or {}), self.base_config
        self.check_state_and_action(offered)
        cloud = self.cloud_feature(offered)
        known = offered if cloud is None else {**offered, POINT_CLOUD: cloud}
        kept = {key: known[key] for key in base.input_features if key in known}
        check_same_features(base, {**kept, **self.output_features}, "base", self.base_path)
        self.input_features = kept
        self._check_images()

    @property
    def horizon(self) -> int:
        """Length of the start noise: that of the base's sequences."""
        return getattr(self.base_config, "horizon", self.chunk_size)

    @property
    def drop_n_last_frames(self) -> int:
        """Last frames of an episode at which no window starts; the same number as for the base."""
        return getattr(self.base_config, "drop_n_last_frames", 0)

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(self.chunk_size))

    def get_optimizer_preset(self) -> OptimizerConfig:
        return AdamConfig(
            lr=self.optimizer_lr,
            betas=self.optimizer_betas,
            eps=self.optimizer_eps,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> None:
        return None
