"""What a policy sees, and how it is encoded: clouds and states, and for some policies images and keypoints."""

from dataclasses import dataclass, field

from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.inference_config import InferenceConfig
from lerobot_sdm.processors.depth_config import DepthToCloudConfig
from lerobot_sdm.processors.sizes import check_upright, check_vector

RESNET_STRIDE = 32
"""Side of the patch of an image that is one pixel of a ResNet's last layer."""


@dataclass
class ObservationConfig(InferenceConfig):
    """Settings of a policy that sees a point cloud and the robot's state; no policy of its own.

    How it runs is said in `InferenceConfig`.

    Args:
        n_obs_steps: Observation frames the policy sees, the current one included.
        normalization_mapping: How each kind of feature is normalized. Clouds count as STATE in LeRobot and are
            scaled per channel over all points.
        use_color: Whether the encoder sees rgb as well as xyz.
        n_points: Use only the first so many points of a cloud, None for all. Clouds of this package are in
            farthest-point order, so a prefix is itself a farthest point sample.
        depth_to_cloud: Depth cameras whose images become the cloud where an observation holds none: on a robot, and
            in datasets of depth images. A YAML or JSON file, see `docs/depth_cameras.md`.
        encoder_hidden_dims: Widths of the point MLP.
        encoder_out_dim: Width of the cloud feature.
        state_mlp_dims: Widths of the state MLP.
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
        """Refuse values that the networks cannot work with."""
        if self.n_obs_steps < 1:
            raise InputError(f"--policy.n_obs_steps={self.n_obs_steps}: at least one frame must be observed.")
        if self.n_points is not None and self.n_points < 1:
            raise InputError(f"--policy.n_points={self.n_points}: a cloud needs at least one point (None for all).")

    def validate_features(self) -> None:
        """Check what the dataset offers, and keep only the features that this policy uses.

        Raises:
            InputError: No point cloud, no robot state or no action, or shapes that cannot be used.
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
        """The cloud as this policy sees it, among the features of a dataset; None where there is none.

        Raises:
            InputError: A cloud of a shape that cannot be used.
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
            raise InputError(f"--policy.n_points={self.n_points}: the clouds of '{key}' only have {shape[0]} points.")
        return PolicyFeature(type=FeatureType.STATE, shape=(shape[0], self.cloud_channels))

    def check_state_and_action(self, features: dict[str, PolicyFeature]) -> None:
        """Refuse a dataset without a vector of robot state or of actions."""
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

    @property
    def reward_delta_indices(self) -> None:
        return None


@dataclass
class ImageObservationConfig(ObservationConfig):
    """Settings of a policy that sees the robot's state, and besides: a point cloud where there is one; else all images
    and the `observation.environment_state` (keypoints) that there are. No policy of its own.

    What is not listed here is in `ObservationConfig`.

    Args:
        state_mlp_dims: Widths of the MLP for state and keypoints; empty passes them on as they are.
        vision_backbone: A ResNet of torchvision, for images; one for each camera.
        pretrained_backbone_weights: Its weights, by torchvision's name; None to learn from nothing.
        use_group_norm: Group in the place of batch normalization in the ResNet.
        spatial_softmax_num_keypoints: Points that each camera's encoder finds.
        resize_shape: Height and width that images are resized to; None leaves them.
        crop_shape: Height and width of the crop, random in training and central in use; None for all of the image.
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
            raise InputError(f"--policy.vision_backbone={self.vision_backbone}: must be a ResNet of torchvision.")
        if self.use_group_norm and self.pretrained_backbone_weights:
            raise InputError(
                f"--policy.pretrained_backbone_weights={self.pretrained_backbone_weights}: pretrained weights come "
                "with batch normalization. Give --policy.use_group_norm=false with them."
            )

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
                    f"'{key}': shape {shape} is not that of a color image (3, height, width). Depth images become "
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
