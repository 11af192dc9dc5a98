"""A processor step that checks observations and converts them for normalization."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lerobot.configs.types import FeatureType, PipelineFeatureType, PolicyFeature
from lerobot.lerobot_types import EnvTransition, TransitionKey
from lerobot.processor import NormalizerProcessorStep, PolicyProcessorPipeline, ProcessorStep, ProcessorStepRegistry
from torch import Tensor

from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.incoming import as_tensor
from lerobot_sdm.processors.sizes import check_sizes

FIX = "A policy needs the shapes that it was trained with. Check what the robot or the environment returns."


@ProcessorStepRegistry.register(name="observation_fitter")
@dataclass
class ObservationFitterStep(ProcessorStep):
    """Convert observations and actions to float tensors, and check their shapes against those of the training.

    LeRobot's normalizer adopts the dtype of its input: for integers it would round the statistics, and for another
    shape it fails with a broadcasting error. This step goes before the normalizer.

    Args:
        features: Observations of the policy, as LeRobot's `PolicyFeature` or as in a saved pipeline.
    """

    features: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.features = {
                key: value
                if isinstance(value, PolicyFeature)
                else PolicyFeature(FeatureType(value["type"]), tuple(map(operator.index, value["shape"])))
                for key, value in self.features.items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"observation_fitter: features={self.features!r}: must be names with a type and a shape ({error})."
            ) from error

    def __call__(self, transition: EnvTransition) -> EnvTransition:
        """Convert the policy's observations (..., *shape) to float tensors, at least (1, *shape); others pass through.

        Raises:
            InputError: An observation cannot be converted, or has another shape.
        """
        transition = dict(transition)
        observation = transition.get(TransitionKey.OBSERVATION)
        if observation is not None:
            known = {key: self._fitted(key, observation[key]) for key in self.features if key in observation}
            transition[TransitionKey.OBSERVATION] = {**observation, **known}
        action = transition.get(TransitionKey.ACTION)
        if isinstance(action, Tensor):
            transition[TransitionKey.ACTION] = action if action.is_floating_point() else action.float()
        return transition

    def _fitted(self, key: str, value: Any) -> Tensor:
        value, shape = as_tensor(key, value), tuple(self.features[key].shape)
        if shape == (1,) and value.ndim == 0:
            value = value.reshape(1)
        if value.ndim < len(shape):
            raise InputError(
                f"'{key}' has shape {tuple(value.shape)} in the observation and {shape} in the checkpoint. {FIX}"
            )
        # LeRobot's reader drops the axis of one-element vectors, so any shape may be one; and a policy may resize
        # images, so it checks their sizes itself.
        if shape != (1,) and self.features[key].type is not FeatureType.VISUAL:
            found = {key: tuple(value.shape[value.ndim - len(shape) :])}
            check_sizes(found, {key: shape}, "the observation", "the checkpoint", FIX)
        return value.unsqueeze(0) if value.ndim == len(shape) else value

    def get_config(self) -> dict[str, Any]:
        plain = {key: {"type": item.type.value, "shape": list(item.shape)} for key, item in self.features.items()}
        return {"features": plain}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        return features


def add_fitter(preprocessor: PolicyProcessorPipeline, features: Mapping[str, PolicyFeature]) -> None:
    """Insert the step before the normalizer of a pipeline without it, such as that of LeRobot's `diffusion`."""
    steps = preprocessor.steps
    if not any(isinstance(step, ObservationFitterStep) for step in steps):
        place = next((i for i, step in enumerate(steps) if isinstance(step, NormalizerProcessorStep)), len(steps))
        steps.insert(place, ObservationFitterStep(dict(features)))
