"""Settings shared by all students: the teacher, and the network that comes from it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import NormalizationMode

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.nets.backbone_settings import FIELDS, backbone_of
from lerobot_sdm.policies.inference_config import InferenceConfig
from lerobot_sdm.policies.settings import check_action_steps

if TYPE_CHECKING:
    from lerobot_sdm.policies.source.source_policy import SourcePolicy

COPIED_FROM_SOURCE = ("n_obs_steps", "horizon", "normalization_mapping")
"""Fields that LeRobot requires of every policy and that must equal the teacher's: the student starts as its copy."""


@dataclass
class StudentConfig(InferenceConfig):
    """Settings of a policy whose network starts as a copy of its teacher's; abstract base class.

    Everything that describes the network (architecture, observations, noise levels) is the teacher's, whose whole
    configuration is in `network`. See `InferenceConfig` for inherited fields.

    Args:
        teacher_path: Folder or Hub repo of the teacher; needed for training, not for evaluation.
        teacher_revision: Hub revision of the teacher.
        teacher_sha256: Hash of the teacher's weights. Filled in by training; a resumed run refuses another teacher.
        network: The teacher's configuration. Filled in from `teacher_path`.
        backbone: Denoising network; the teacher's, because its weights are the first ones.
        n_obs_steps: Observation frames; the teacher's.
        horizon: Length of the predicted action sequence; the teacher's.
        n_action_steps: How many of its actions are executed; None for the teacher's number.
        normalization_mapping: How each kind of feature is normalized; the teacher's.
        use_ema: Evaluate and save an exponential moving average of the weights.
        ema_power: Exponent of the EMA's warm-up.
        ema_max_decay: Cap of the EMA's decay.
    """

    role: ClassVar[str] = "teacher"
    """Role of the other policy in messages and in the option that names it, `--policy.ROLE_path`."""
    source_types: ClassVar[tuple[str, ...]] = ()
    """Allowed policy types of the teacher."""

    teacher_path: str | None = None
    teacher_revision: str | None = None
    teacher_sha256: str | None = None
    network: dict[str, Any] | None = None
    backbone: str | None = None

    n_obs_steps: int | None = None
    horizon: int | None = None
    n_action_steps: int | None = None
    normalization_mapping: dict[str, NormalizationMode] | None = None

    use_ema: bool = True
    ema_power: float = 0.75
    ema_max_decay: float = 0.995

    def __post_init__(self) -> None:
        super().__post_init__()
        # A saved student contains its network's configuration, so its teacher may no longer exist.
        if self.network is None and self.source is not None:
            from lerobot_sdm.policies.source.description import describe

            self.network = describe(self.source.config)
            self.take_from(self.source.config)
        if self.network is not None:
            self._check_backbone()
            self._copy_from_network()
        self.check_settings()

    def take_from(self, teacher: PreTrainedConfig) -> None:
        """Copy the teacher's values of unset fields, when training begins."""

    def check_settings(self) -> None:
        """Reject invalid values of the method's fields; `network_config` is available if a teacher is named."""

    @cached_property
    def source(self) -> "SourcePolicy | None":
        """The teacher; None if none is named."""
        from lerobot_sdm.policies.source.source_policy import SourcePolicy

        if self.teacher_path is None:
            return None
        option = f"--policy.{self.role}_path"
        return SourcePolicy(self.teacher_path, self.teacher_revision, self.role, option, self.source_types)

    @cached_property
    def network_config(self) -> Any:
        """The configuration from which encoder and denoiser are built.

        Raises:
            InputError: No teacher is named.
        """
        from lerobot_sdm.policies.source.description import configuration

        if self.network is None:
            raise self.missing_teacher()
        return configuration(self.network, self.device)

    def missing_teacher(self) -> InputError:
        """The error to raise if no teacher is named."""
        return InputError(
            f"--policy.{self.role}_path: training a policy of type {self.type} needs the folder or Hub repo of a "
            f"{self.role}."
        )

    def _check_backbone(self) -> None:
        mine = backbone_of(self.network or {})
        if self.backbone is not None:
            check_known("--policy.backbone", self.backbone, FIELDS)
        if self.backbone not in (None, mine):
            raise InputError(
                f"--policy.backbone={self.backbone}: this policy takes its weights from the backbone '{mine}', and "
                "they fit no other. Drop the option; only a student of type sdm may have another backbone than its "
                "teacher."
            )

    def _copy_from_network(self) -> None:
        from lerobot_sdm.policies.source.source_policy import copy_fields

        network = self.network_config
        owner = f"the {self.role} at {self.teacher_path}"
        copy_fields(self, network, COPIED_FROM_SOURCE, owner, "this policy starts as its copy")
        if self.n_action_steps is None:
            self.n_action_steps = network.n_action_steps
        if self.cloud_view is None:
            # Until training replaces it with the dataset's own, which should equal the teacher's.
            self.cloud_view = getattr(network, "cloud_view", None)
        check_action_steps(self, network)
        asked = set(self.input_features or {}) - set(network.input_features)
        if asked:
            raise InputError(
                f"--policy.input_features: '{min(asked)}' is not one of the teacher's observations "
                f"({', '.join(network.input_features)}), and a student uses the same. Drop the option."
            )

    def validate_features(self) -> None:
        """Keep only the observations that the teacher uses.

        Raises:
            InputError: An observation is missing, or a shape differs from the teacher's.
        """
        from lerobot_sdm.policies.source.adapters import adapter_for
        from lerobot_sdm.policies.source.description import configuration
        from lerobot_sdm.policies.source.source_policy import check_same_features

        network = self.network_config
        network.output_features = self.output_features
        teacher = configuration(self.network or {}, self.device)
        offered = self.input_features or {}  # type: ignore[has-type]  # LeRobot declares it.
        kept = adapter_for(teacher.type).keep_features(network, offered)
        check_same_features(teacher, {**kept, **(self.output_features or {})}, self.role, self.teacher_path)
        self.input_features = network.input_features = kept

    @property
    def drop_n_last_frames(self) -> int:
        """Last frames of an episode at which no window starts; the same number as for the teacher."""
        return self.network_config.drop_n_last_frames

    @property
    def observation_delta_indices(self) -> list[int]:
        return self.network_config.observation_delta_indices

    @property
    def action_delta_indices(self) -> list[int]:
        return self.network_config.action_delta_indices
