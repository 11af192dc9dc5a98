"""Configuration of the Karras-preconditioned diffusion policy (EDM), the teacher of `consistency`."""

from dataclasses import dataclass, field

from lerobot.configs.types import NormalizationMode
from lerobot.utils.constants import OBS_ENV_STATE, OBS_STATE

from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.policies.chunk_config import ChunkConfig
from lerobot_sdm.processors import POINT_CLOUD

RESNET_STRIDE = 32
"""Side of the patch of an image that is one pixel of a ResNet's last layer."""


@dataclass
class EdmConfig(ChunkConfig):
    """A diffusion policy in the form of Karras et al. 2022, as Consistency Policy (Prasad et al. 2024) has it.

    It sees the robot's state, and besides: a point cloud where there is one; else all images and the
    `observation.environment_state` (keypoints) that there are. Where a default differs from the released code,
    `docs/deviations.md` says why. What is not listed here is in `ChunkConfig`.

    Args:
        state_mlp_dims: Widths of the MLP for state and keypoints; empty passes them on as they are, as released.
        vision_backbone: A ResNet of torchvision, for images; one for each camera.
        pretrained_backbone_weights: Its weights, by torchvision's name; None to learn from nothing.
        use_group_norm: Group in the place of batch normalisation in the ResNet.
        spatial_softmax_num_keypoints: Points that each camera's encoder finds.
        resize_shape: Height and width that images are resized to; None leaves them.
        crop_shape: Height and width of the crop, random in training and central in use; None for all of the image.
        crop_is_random: Whether training crops at random.
        dropout_rate: Share of entries dropped in the residual blocks of the U-Net.
        mid_dropout_rate: The same for the middle blocks; None for `dropout_rate`. Released: 0.2, inadvertently.
        sigma_min: Smallest noise, in normalised action units.
        sigma_max: Largest noise.
        rho: Bins are evenly spaced in sigma^(1/rho).
        bins: Noise levels on which a student will be trained.
        sigma_data: Standard deviation that the preconditioning assumes of actions.
        boundary: Make the denoiser the identity at `sigma_min` (and not at 0).
        sigma_log_mean: Mean of log sigma in training.
        sigma_log_std: Its standard deviation.
        loss_norm: "mse", "pseudo_huber" or "released"; see `diffusion.distance`.
        sampler: "heun", "euler", "dpmpp_2m" or "dpmpp_3m". May be changed at evaluation.
        num_inference_steps: Steps of the sampler; Heun has two network evaluations in each. May be changed at
            evaluation. The default is all bins, as released.
        initial_std: Standard deviation of the start noise. 1 is the "reduced initial variance" of the paper, which
            gives much the same actions each time; `sigma_max` samples from the whole distribution.
        clip_sample_range: Each clean sample is clipped to plus and minus this in use; None for no clipping.
    """

    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: {
            "VISUAL": NormalizationMode.MEAN_STD,
            "STATE": NormalizationMode.MIN_MAX,
            "ENV": NormalizationMode.MIN_MAX,
            "ACTION": NormalizationMode.MIN_MAX,
        }
    )

    vision_backbone: str = "resnet18"
    pretrained_backbone_weights: str | None = None
    use_group_norm: bool = True
    spatial_softmax_num_keypoints: int = 32
    resize_shape: tuple[int, int] | None = None
    crop_shape: tuple[int, int] | None = None
    crop_is_random: bool = True

    dropout_rate: float = 0.0
    mid_dropout_rate: float | None = None

    sigma_min: float = 0.02
    sigma_max: float = 80.0
    rho: float = 7.0
    bins: int = 80
    sigma_data: float = 0.5
    boundary: bool = True
    sigma_log_mean: float = -1.2
    sigma_log_std: float = 1.2
    loss_norm: str = "mse"

    sampler: str = "heun"
    num_inference_steps: int = 79
    initial_std: float = 1.0
    clip_sample_range: float | None = 1.0

    def _check_shapes(self) -> None:
        """Refuse values that the networks, the noise levels or the sampler cannot work with."""
        super()._check_shapes()
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                f"--policy.sigma_min={self.sigma_min}: must lie above 0 and below sigma_max={self.sigma_max}."
            )
        for name in ("rho", "sigma_data", "initial_std", "sigma_log_std"):
            if getattr(self, name) <= 0:
                raise InputError(f"--policy.{name}={getattr(self, name)}: must be above 0.")
        if self.bins < 2:
            raise InputError(f"--policy.bins={self.bins}: at least 2 noise levels.")
        if self.num_inference_steps < 1:
            raise InputError(f"--policy.num_inference_steps={self.num_inference_steps}: at least 1.")
        for name in ("dropout_rate", "mid_dropout_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 <= rate < 1:
                raise InputError(f"--policy.{name}={rate}: must lie in 0 ... 1, 1 excluded.")
        if not self.vision_backbone.startswith("resnet"):
            raise InputError(f"--policy.vision_backbone={self.vision_backbone}: must be a ResNet of torchvision.")
        if self.use_group_norm and self.pretrained_backbone_weights:
            raise InputError(
                f"--policy.pretrained_backbone_weights={self.pretrained_backbone_weights}: pretrained weights come "
                "with batch normalisation. Give --policy.use_group_norm=false with them."
            )
        self._check_names()

    def _check_names(self) -> None:
        from lerobot_sdm.diffusion.distance import NORMS
        from lerobot_sdm.diffusion.karras import SAMPLERS

        if self.sampler not in SAMPLERS:
            raise unknown_name("--policy.sampler", self.sampler, SAMPLERS)
        if self.loss_norm not in NORMS:
            raise unknown_name("--policy.loss_norm", self.loss_norm, NORMS)

    def validate_features(self) -> None:
        """Check what the dataset offers, and keep only the features that this policy uses.

        Raises:
            InputError: Nothing but the robot's state, no robot's state, or shapes that cannot be used.
        """
        features = dict(self.input_features or {})
        self.check_state_and_action(features)
        cloud = self.cloud_feature(features)
        if cloud is not None:
            kept = {POINT_CLOUD: cloud}
        else:
            kept = dict(self.image_features)
            if OBS_ENV_STATE in features:
                kept[OBS_ENV_STATE] = features[OBS_ENV_STATE]
        if not kept:
            raise InputError(
                f"{self.type}: no '{POINT_CLOUD}', no image and no '{OBS_ENV_STATE}' among the observations "
                f"({', '.join(features)}). This policy needs one of them besides the robot's state."
            )
        self.input_features = {OBS_STATE: features[OBS_STATE], **kept}
        self._check_images()

    def _check_images(self) -> None:
        shapes = {key: tuple(feature.shape) for key, feature in self.image_features.items()}
        for key, shape in shapes.items():
            if len(shape) != 3 or shape[0] != 3:
                raise InputError(
                    f"'{key}': shape {shape} is not that of a colour image (3, height, width). Depth images become "
                    "clouds with --policy.depth_to_cloud=FILE; others are left out with --policy.input_features."
                )
            if shape != next(iter(shapes.values())):
                raise InputError(
                    f"'{key}': shape {shape} differs from that of '{next(iter(shapes))}'; resize the images of the "
                    "dataset, or leave a camera out with --policy.input_features."
                )
            height, width = self.resize_shape or shape[1:]
            if self.crop_shape is not None and (self.crop_shape[0] > height or self.crop_shape[1] > width):
                raise InputError(
                    f"--policy.crop_shape={list(self.crop_shape)}: does not fit into images of {height} x {width} "
                    f"('{key}')."
                )
            height, width = self.crop_shape or (height, width)
            if max(height, width) <= RESNET_STRIDE:
                raise InputError(
                    f"'{key}': of {height} x {width} the ResNet leaves one pixel, and where it is says nothing: the "
                    f"policy would be blind. Images have to be larger than {RESNET_STRIDE}, better 64 and more."
                )
