"""What the configurations of this package's policies share: chunks of actions, encoder, U-Net, average, optimizer."""

from dataclasses import dataclass, field

from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.optim.optimizers import AdamWConfig, OptimizerConfig
from lerobot.optim.schedulers import DiffuserSchedulerConfig, LRSchedulerConfig
from lerobot.utils.constants import ACTION, OBS_STATE

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.inference_config import InferenceConfig
from lerobot_sdm.processors import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.processors.depth_config import DepthToCloudConfig


@dataclass
class ChunkConfig(InferenceConfig):
    """Settings of a policy that predicts chunks of actions with a FiLM-conditioned U-Net; no policy of its own.

    How it runs is said in `InferenceConfig`.

    Args:
        n_obs_steps: Observation frames the policy sees, the current one included.
        horizon: Length of the predicted action sequence, which begins at the oldest observed frame.
        n_action_steps: How many of these actions are executed, beginning with the current frame's.
        normalization_mapping: How each kind of feature is normalised. Clouds count as STATE in LeRobot and are
            scaled per channel over all points.
        use_color: Whether the encoder sees rgb as well as xyz.
        n_points: Use only the first so many points of a cloud, None for all. Clouds of this package are in
            farthest-point order, so a prefix is itself a farthest point sample.
        depth_to_cloud: Depth cameras whose images become the cloud where an observation holds none: on a robot, and
            in datasets of depth images. A YAML or JSON file, see `docs/depth_cameras.md`.
        encoder_hidden_dims: Widths of the point MLP.
        encoder_out_dim: Width of the cloud feature.
        state_mlp_dims: Widths of the state MLP.
        down_dims: Channels of the U-Net's levels, finest first.
        blocks_per_level: Residual blocks per level: 2 for DP3, 1 for Simple DP3.
        kernel_size: Of the U-Net's convolutions.
        n_groups: Of the U-Net's group normalisation.
        diffusion_step_embed_dim: Width of the timestep embedding.
        use_film_scale_modulation: Whether FiLM scales as well as shifts.
        gradient_checkpointing: Trade compute for memory in training.
        use_ema: Evaluate and save an exponential moving average of the weights.
        ema_power: Exponent of the EMA's warm-up.
        ema_max_decay: Cap of the EMA's decay.
        do_mask_loss_for_padding: Leave actions beyond the end of an episode out of the loss.
        optimizer_lr: Learning rate.
        optimizer_betas: AdamW's betas.
        optimizer_eps: AdamW's epsilon.
        optimizer_weight_decay: AdamW's weight decay.
        optimizer_grad_clip_norm: Joint gradient norm at which LeRobot clips; 0 for none, as released.
        scheduler_name: Learning-rate schedule, by its diffusers name.
        scheduler_warmup_steps: Linear warm-up.
    """

    n_obs_steps: int = 2
    horizon: int = 16
    n_action_steps: int = 8

    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: {
            "STATE": NormalizationMode.MIN_MAX,
            "ACTION": NormalizationMode.MIN_MAX,
        }
    )

    use_color: bool = False
    n_points: int | None = None
    depth_to_cloud: DepthToCloudConfig | None = None
    encoder_hidden_dims: tuple[int, ...] = (64, 128, 256)
    encoder_out_dim: int = 64
    state_mlp_dims: tuple[int, ...] = (64, 64)

    down_dims: tuple[int, ...] = (512, 1024, 2048)
    blocks_per_level: int = 2
    kernel_size: int = 5
    n_groups: int = 8
    diffusion_step_embed_dim: int = 128
    use_film_scale_modulation: bool = True
    gradient_checkpointing: bool = False

    use_ema: bool = True
    ema_power: float = 0.75
    ema_max_decay: float = 0.9999
    do_mask_loss_for_padding: bool = False

    optimizer_lr: float = 1e-4
    optimizer_betas: tuple[float, float] = (0.95, 0.999)
    optimizer_eps: float = 1e-8
    optimizer_weight_decay: float = 1e-6
    optimizer_grad_clip_norm: float = 0.0
    scheduler_name: str = "cosine"
    scheduler_warmup_steps: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_shapes()

    def _check_shapes(self) -> None:
        """Refuse values that the networks cannot work with."""
        factor = 2 ** (len(self.down_dims) - 1)
        if self.horizon <= 0 or self.horizon % factor:
            raise InputError(
                f"--policy.horizon={self.horizon}: the U-Net halves the sequence {len(self.down_dims) - 1} times, "
                f"so the horizon must be a multiple of {factor} (next: {(self.horizon // factor + 1) * factor})."
            )
        if self.n_obs_steps < 1:
            raise InputError(f"--policy.n_obs_steps={self.n_obs_steps}: at least one frame must be observed.")
        longest = self.horizon - self.n_obs_steps + 1
        if not 1 <= self.n_action_steps <= longest:
            raise InputError(
                f"--policy.n_action_steps={self.n_action_steps}: must lie in 1 ... {longest}, since of the "
                f"{self.horizon} predicted actions the first {self.n_obs_steps - 1} belong to past frames."
            )
        if self.blocks_per_level not in (1, 2):
            raise InputError(
                f"--policy.blocks_per_level={self.blocks_per_level}: 2 is DP3 and 1 is Simple DP3, nothing else exists."
            )
        if any(dim % self.n_groups for dim in self.down_dims):
            raise InputError(
                f"--policy.down_dims={list(self.down_dims)}: each must be a multiple of n_groups={self.n_groups}."
            )
        if self.n_points is not None and self.n_points < 1:
            raise InputError(f"--policy.n_points={self.n_points}: a cloud needs at least one point (None for all).")

    def validate_features(self) -> None:
        """Check what the dataset offers, and keep only the features that this policy uses.

        Raises:
            InputError: No point cloud, no robot state or no action, or shapes that cannot be used.
        """
        features = dict(self.input_features or {})
        cloud = self.cloud_feature(features)
        if cloud is None:
            raise InputError(
                f"{self.type}: no '{POINT_CLOUD}' among the observations ({', '.join(features) or 'none'}). "
                "This policy needs a dataset with point clouds; `lerobot-sdm record` makes one. For depth images, "
                "describe the camera with --policy.depth_to_cloud=FILE."
            )
        self.check_state_and_action(features)
        self.input_features = {OBS_STATE: features[OBS_STATE], POINT_CLOUD: cloud}

    def cloud_feature(self, features: dict[str, PolicyFeature]) -> PolicyFeature | None:
        """The cloud as this policy sees it, among the features of a dataset; None where there is none.

        Raises:
            InputError: A cloud of a shape that cannot be used.
        """
        key = next((key for key in POINT_CLOUD_KEYS if key in features), None)
        if key is None and self.depth_to_cloud is None:
            return None
        if key is None:
            self.depth_to_cloud.check_shapes({name: tuple(feature.shape) for name, feature in features.items()})
            key, shape = POINT_CLOUD, (self.depth_to_cloud.num_points, self.depth_to_cloud.channels)
        else:
            shape = tuple(features[key].shape)
        if len(shape) != 2 or shape[1] < self.cloud_channels:
            raise InputError(
                f"'{key}': shape {shape} is not (points, channels >= {self.cloud_channels})"
                + (" as --policy.use_color=true needs." if self.use_color else ".")
            )
        if self.n_points is not None and shape[0] < self.n_points:
            raise InputError(f"--policy.n_points={self.n_points}: the clouds of '{key}' only have {shape[0]} points.")
        return PolicyFeature(type=FeatureType.STATE, shape=(shape[0], self.cloud_channels))

    def check_state_and_action(self, features: dict[str, PolicyFeature]) -> None:
        """Refuse a dataset without a vector of robot state or of actions."""
        if OBS_STATE not in features or len(features[OBS_STATE].shape) != 1:
            raise InputError(
                f"{self.type}: needs a vector '{OBS_STATE}' among the observations ({', '.join(features)})."
            )
        if self.action_feature is None or len(self.action_feature.shape) != 1:
            raise InputError(f"{self.type}: needs a vector '{ACTION}' in the dataset.")

    @property
    def cloud_channels(self) -> int:
        """Channels of a cloud that the encoder sees."""
        return 6 if self.use_color else 3

    @property
    def drop_n_last_frames(self) -> int:
        """Last frames of an episode that start no window, so that not too much of it would be padding."""
        return max(0, self.horizon - self.n_action_steps - self.n_obs_steps + 1)

    @property
    def observation_delta_indices(self) -> list[int]:
        return list(range(1 - self.n_obs_steps, 1))

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(1 - self.n_obs_steps, 1 - self.n_obs_steps + self.horizon))

    @property
    def reward_delta_indices(self) -> None:
        return None

    def get_optimizer_preset(self) -> OptimizerConfig:
        return AdamWConfig(
            lr=self.optimizer_lr,
            betas=self.optimizer_betas,
            eps=self.optimizer_eps,
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> LRSchedulerConfig | None:
        return DiffuserSchedulerConfig(name=self.scheduler_name, num_warmup_steps=self.scheduler_warmup_steps)
