"""What the configurations of all distilled policies share: the teacher, and the network that comes from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode
from lerobot.optim.optimizers import OptimizerConfig
from lerobot.optim.schedulers import LRSchedulerConfig

from lerobot_sdm.errors import InputError
from lerobot_sdm.optim import PerGroupAdamWConfig, PerGroupCosineConfig
from lerobot_sdm.policies.inference_config import InferenceConfig

COPIED_FROM_TEACHER = ("n_obs_steps", "horizon", "normalization_mapping")
"""Fields that LeRobot asks of every policy, and that are not free: the student starts as its teacher's copy."""


@dataclass
class DistilledConfig(InferenceConfig):
    """Settings of a policy that is distilled from a diffusion policy; no policy of its own.

    Everything that describes the network (architecture, observations, noise schedule) is the teacher's: its
    configuration stands whole in `network`. How a student runs is said in `InferenceConfig`.

    Args:
        teacher_path: Folder or Hub repo of the teacher; needed for training, not for evaluation.
        teacher_revision: Hub revision of the teacher.
        teacher_sha256: Hash of the teacher's weights. Filled in by training; a resumed run refuses another teacher.
        network: The teacher's configuration. Filled in from `teacher_path`.
        teacher_inference_steps: Network evaluations of the teacher for the samples that are learned from; None for as
            many as its own configuration says.
        n_obs_steps: Observation frames; the teacher's.
        horizon: Length of the predicted action sequence; the teacher's.
        n_action_steps: How many of its actions are executed; None for the teacher's number.
        normalization_mapping: How each kind of feature is normalised; the teacher's.
        feature_memory_mb: Most memory that the features of all frames may take, so that the frozen encoder sees each
            once; beyond it, with images (which may be augmented), or at 0 they are computed in every step.
        use_ema: Evaluate and save an exponential moving average of the weights.
        ema_power: Exponent of the EMA's warm-up.
        ema_max_decay: Cap of the EMA's decay.
        optimizer_lr: Learning rate of networks that have none of their own.
        optimizer_betas: AdamW's betas.
        optimizer_eps: AdamW's epsilon.
        optimizer_weight_decay: AdamW's weight decay.
    """

    role: ClassVar[str] = "teacher"
    """What messages call the other policy, and so the option that names it, `--policy.ROLE_path`."""

    teacher_path: str | None = None
    teacher_revision: str | None = None
    teacher_sha256: str | None = None
    network: dict[str, Any] | None = None
    teacher_inference_steps: int | None = None

    n_obs_steps: int | None = None
    horizon: int | None = None
    n_action_steps: int | None = None
    normalization_mapping: dict[str, NormalizationMode] | None = None

    feature_memory_mb: int = 1024

    use_ema: bool = True
    ema_power: float = 0.75
    ema_max_decay: float = 0.995

    optimizer_lr: float = 2e-4
    optimizer_betas: tuple[float, float] = (0.9, 0.99)
    optimizer_eps: float = 1e-8
    optimizer_weight_decay: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        # A saved student carries its network: it stands alone, and its teacher may be gone.
        if self.network is None and self.teacher_path is not None:
            from lerobot_sdm.teachers import describe, read_teacher_config

            self.network = describe(read_teacher_config(self.teacher_path, self.teacher_revision, role=self.role))
        if self.network is not None:
            self._copy_from_network()
        self.check_settings()

    def check_settings(self) -> None:
        """Refuse values of the method that cannot work; `network_config` is there if a teacher is named."""

    @cached_property
    def network_config(self) -> PreTrainedConfig:
        """The configuration that encoder and denoiser are built from.

        Raises:
            InputError: No teacher is named.
        """
        from lerobot_sdm.teachers import configuration

        if self.network is None:
            raise self.missing_teacher()
        return configuration(self.network, self.device)

    def missing_teacher(self) -> InputError:
        """What to say where none is named."""
        return InputError(
            f"--policy.{self.role}_path: training a policy of type {self.type} needs the folder or Hub repo of a "
            f"{self.role}."
        )

    @cached_property
    def last_timestep(self) -> int:
        """Noisiest timestep at which the network's estimate of clean actions is used."""
        from lerobot_sdm.diffusion.predictions import last_readable_timestep
        from lerobot_sdm.diffusion.schedules import alphas_cumprod

        network = self.network_config
        betas = {name: getattr(network, name) for name in ("beta_start", "beta_end") if hasattr(network, name)}
        alphas = alphas_cumprod(network.num_train_timesteps, network.beta_schedule, **betas)
        return last_readable_timestep(alphas, getattr(network, "prediction_type", "sample"))

    def checked_timestep(self, name: str, default: int) -> int:
        """The timestep in a field of that name, or `default` where it is None.

        Raises:
            InputError: Clean actions cannot be read there.
        """
        t, last = getattr(self, name), self.last_timestep
        if t is None:
            return min(default, last)
        if not 0 <= t <= last:
            noisier = last < t < self.network_config.num_train_timesteps
            why = ", since beyond it an error of the noise that this teacher predicts counts too much" * noisier
            raise InputError(f"--policy.{name}={t}: must lie in 0 ... {last}{why}.")
        return t

    def _copy_from_network(self) -> None:
        network = self.network_config
        for name in COPIED_FROM_TEACHER:
            mine, theirs = getattr(self, name), getattr(network, name)
            if mine not in (None, {}, theirs):
                raise InputError(
                    f"--policy.{name}={mine}: the {self.role} at {self.teacher_path} has {theirs}, and this one starts "
                    "as its copy. Leave the option out."
                )
            setattr(self, name, theirs)
        if self.n_action_steps is None:
            self.n_action_steps = network.n_action_steps
        if self.cloud_view is None:
            # Until training sees the dataset's own: then the teacher's must be the same.
            self.cloud_view = getattr(network, "cloud_view", None)
        longest = self.horizon - self.n_obs_steps + 1
        if not 1 <= self.n_action_steps <= longest:
            raise InputError(
                f"--policy.n_action_steps={self.n_action_steps}: must lie in 1 ... {longest}, since of the "
                f"{self.horizon} predicted actions the first {self.n_obs_steps - 1} belong to past frames."
            )
        if self.feature_memory_mb < 0:
            raise InputError(f"--policy.feature_memory_mb={self.feature_memory_mb}: at least 0, which is none.")
        steps = self.teacher_inference_steps
        if steps is not None and not 1 <= steps <= network.num_train_timesteps:
            raise InputError(
                f"--policy.teacher_inference_steps={steps}: must lie in 1 ... {network.num_train_timesteps}."
            )
        asked = set(self.input_features or {}) - set(network.input_features)
        if asked:
            raise InputError(
                f"--policy.input_features: '{min(asked)}' is none of the teacher's observations "
                f"({', '.join(network.input_features)}), and a student has its teacher's. Leave the option out."
            )

    def validate_features(self) -> None:
        """Keep the observations that the teacher uses, of those that there are.

        Raises:
            InputError: One of them is missing, or something has another shape than for the teacher.
        """
        from lerobot_sdm.teachers import adapter_for, check_same_features, configuration

        network = self.network_config
        network.output_features = self.output_features
        teacher = configuration(self.network, self.device)
        kept = adapter_for(teacher.type).keep_features(network, self.input_features or {})
        check_same_features(
            {**teacher.input_features, **teacher.output_features},
            {**kept, **(self.output_features or {})},
            self.role,
            self.teacher_path,
        )
        self.input_features = network.input_features = kept

    @property
    def drop_n_last_frames(self) -> int:
        """Last frames of an episode that start no window; as for the teacher."""
        return self.network_config.drop_n_last_frames

    @property
    def observation_delta_indices(self) -> list[int]:
        return self.network_config.observation_delta_indices

    @property
    def action_delta_indices(self) -> list[int]:
        return self.network_config.action_delta_indices

    @property
    def reward_delta_indices(self) -> None:
        return None

    def get_optimizer_preset(self) -> OptimizerConfig:
        return PerGroupAdamWConfig(
            lr=self.optimizer_lr,
            betas=self.optimizer_betas,
            eps=self.optimizer_eps,
            weight_decay=self.optimizer_weight_decay,
        )

    def get_scheduler_preset(self) -> LRSchedulerConfig | None:
        return PerGroupCosineConfig()
