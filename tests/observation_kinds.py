"""Every kind of observation that a policy of clouds, images or keypoints may be trained on, and batches of them."""

import torch
from lerobot.configs.types import FeatureType, PolicyFeature

STATE, KEYPOINTS, CLOUD = "observation.state", "observation.environment_state", "observation.point_cloud"
CAMERAS = ("observation.images.front", "observation.images.wrist")
KINDS = {
    "cloud": {CLOUD: (FeatureType.STATE, (20, 3))},
    "images": {camera: (FeatureType.VISUAL, (3, 72, 80)) for camera in CAMERAS},
    "keypoints": {KEYPOINTS: (FeatureType.ENV, (16,))},
    "images and keypoints": {CAMERAS[0]: (FeatureType.VISUAL, (3, 72, 80)), KEYPOINTS: (FeatureType.ENV, (16,))},
}
SMALL = {"down_dims": (8, 16), "blocks_per_level": 1, "encoder_hidden_dims": (8, 16), "device": "cpu"}


def feature_options(kind: str) -> dict[str, dict[str, PolicyFeature]]:
    """`input_features` and `output_features`: a state of 5 and what the kind has; actions of 2."""
    inputs = {STATE: (FeatureType.STATE, (5,)), **KINDS[kind]}
    return {
        "input_features": {key: PolicyFeature(*feature) for key, feature in inputs.items()},
        "output_features": {"action": PolicyFeature(FeatureType.ACTION, (2,))},
    }


def batch(kind: str = "keypoints", size: int = 3, frames: int | None = 2) -> dict[str, torch.Tensor]:
    """Preprocessed observations, each (size, frames, ...), or (size, ...) for frames None."""
    lead = (size,) if frames is None else (size, frames)
    generator = torch.Generator().manual_seed(1)
    shapes = {STATE: (5,), **{key: shape for key, (_, shape) in KINDS[kind].items()}}
    return {key: torch.rand(*lead, *shape, generator=generator) for key, shape in shapes.items()}
