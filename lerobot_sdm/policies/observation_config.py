"""Settings of a policy's observations and their encoder: clouds and states, for some policies images and keypoints."""

from dataclasses import dataclass, field

from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.inference_config import InferenceConfig
from lerobot_sdm.processors.depth_config import DepthToCloudConfig
from lerobot_sdm.processors.sizes import check_upright, check_vector

RESNET_STRIDE = 32
"""Image pixels, per side, for each pixel of a ResNet's last layer."""


@dataclass
class ObservationConfig(InferenceConfig):
    """Settings of a policy that observes a point cloud and the robot's state; abstract base class.

    See `InferenceConfig` for inherited fields.

    Args:
        n_obs_steps: Number of observation frames, including the current one.
        normalization_mapping: How each kind of feature is normalized. Clouds count as STATE in LeRobot and are
            scaled per channel over all points.
        use_color: Whether the encoder sees rgb as well as xyz.
        n_points: Use only the first `n_points` points of a cloud, None for all. Clouds of this package are in
            farthest-point order, so a prefix is itself a farthest point sample.
        depth_to_cloud: Depth cameras whose images are converted to a cloud if an observation has none: on a robot, and
            in datasets of depth images. A YAML or JSON file, see `docs/depth_cameras.md`.
        encoder_hidden_dims: Layer widths of the point MLP.
        encoder_out_dim: Size of the cloud feature.
        state_mlp_dims: Layer widths of the state MLP.
    """

    n_obs_steps: int = 2

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

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_shapes()

    def _check_shapes(self) -> None:
        """Reject values that the networks do not support."""
        if self.n_points is not None and self.n_points < 1:
            raise InputError(f"--policy.n_points={self.n_points}: must be at least 1, or null for all points.")

    def validate_features(self) -> None:
        """Check the dataset's features, and keep only those that this policy uses.

        Raises:
            InputError: There is no point cloud, robot state or action, or a shape is not supported.
        """
        features = dict(self.input_features or {})  # type: ignore[has-type]  # LeRobot declares it.
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
        """The cloud feature as this policy uses it, given the features of a dataset; None if they have no cloud.

        Raises:
            InputError: The cloud's shape is not supported.
        """
        key = next((key for key in POINT_CLOUD_KEYS if key in features), None)
        if key is None:
            if self.depth_to_cloud is None:
                return None
            self.depth_to_cloud.check_shapes({name: tuple(feature.shape) for name, feature in features.items()})
            key, shape = POINT_CLOUD, (self.depth_to_cloud.num_points, self.depth_to_cloud.channels)
        else:
            shape = tuple(features[key].shape)
        check_upright(key, shape, "the dataset")
        if len(shape) != 2 or shape[1] < self.cloud_channels:
            raise InputError(
                f"'{key}': shape {shape} is not (points, channels >= {self.cloud_channels})"
                + (" as --policy.use_color=true needs." if self.use_color else ".")
            )
        if self.n_points is not None and shape[0] < self.n_points:
            raise InputError(f"--policy.n_points={self.n_points}: the clouds in '{key}' have only {shape[0]} points.")
        return PolicyFeature(type=FeatureType.STATE, shape=(shape[0], self.cloud_channels))

    def check_state_and_action(self, features: dict[str, PolicyFeature]) -> None:
        """Refuse a dataset without a robot state vector or an action vector."""
        if OBS_STATE not in features:
            raise InputError(
                f"{self.type}: needs a vector '{OBS_STATE}' among the observations ({', '.join(features) or 'none'})."
            )
        if self.action_feature is None:
            raise InputError(f"{self.type}: needs a vector '{ACTION}' in the dataset.")
        check_vector(OBS_STATE, tuple(features[OBS_STATE].shape), self.type)
        check_vector(ACTION, tuple(self.action_feature.shape), self.type)

    @property
    def cloud_channels(self) -> int:
        """Channels of a cloud that the encoder sees."""
        return 6 if self.use_color else 3

    @property
    def observation_delta_indices(self) -> list[int]:
        return list(range(1 - self.n_obs_steps, 1))


@dataclass
class ImageObservationConfig(ObservationConfig):
    """Settings of a policy that observes the robot's state plus a point cloud or, if there is no cloud, all images and
    the `observation.environment_state` (keypoints); abstract base class.

    See `ObservationConfig` for inherited fields.

    Args:
        state_mlp_dims: Layer widths of the MLP for state and keypoints; empty to use them unchanged.
        vision_backbone: A torchvision ResNet for images; each camera has its own.
        pretrained_backbone_weights: Torchvision's name of its pretrained weights; None to train from scratch.
        use_group_norm: Replace batch normalization with group normalization in the ResNet.
        spatial_softmax_num_keypoints: Keypoints of the spatial softmax, per camera.
        resize_shape: Height and width to which images are resized; None for no resizing.
        crop_shape: Height and width of the crop, random in training and centered at inference; None for no crop.
        crop_is_random: Whether training crops at random.
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

    def _check_shapes(self) -> None:
        super()._check_shapes()
        if not self.vision_backbone.startswith("resnet"):
            raise InputError(f"--policy.vision_backbone={self.vision_backbone}: must be a torchvision ResNet.")
        if self.use_group_norm and self.pretrained_backbone_weights:
            raise InputError(
                f"--policy.pretrained_backbone_weights={self.pretrained_backbone_weights}: pretrained weights need "
                "batch normalization. Add --policy.use_group_norm=false."
            )

    def validate_features(self) -> None:
        """Check the dataset's features, and keep only those that this policy uses.

        Raises:
            InputError: There is no robot state, or nothing else, or a shape is not supported.
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
                f"({', '.join(features)}). This policy needs one of them in addition to the robot's state."
            )
        self.input_features = {OBS_STATE: features[OBS_STATE], **kept}
        self._check_images()

    def _check_images(self) -> None:
        shapes = {key: tuple(feature.shape) for key, feature in self.image_features.items()}
        for key, shape in shapes.items():
            if len(shape) != 3 or shape[0] != 3:
                raise InputError(
                    f"'{key}': shape {shape} is not that of a color image (3, height, width). Convert depth images to "
                    "clouds with --policy.depth_to_cloud=FILE, or exclude the image with --policy.input_features."
                )
            if shape != next(iter(shapes.values())):
                raise InputError(
                    f"'{key}': shape {shape} differs from that of '{next(iter(shapes))}'. Resize the images of the "
                    "dataset, or exclude a camera with --policy.input_features."
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
                    f"'{key}': the ResNet reduces {height} x {width} to a single pixel, which has no spatial "
                    f"information, so the policy would be blind. Images have to be larger than {RESNET_STRIDE} pixels "
                    "on a side, better 64 or more."
                )
