"""A policy as one function, from raw observations and noise to actions in the robot's units, and its trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lerobot.lerobot_types import TransitionKey
from lerobot.processor import NormalizerProcessorStep, UnnormalizerProcessorStep, create_transition
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.overrides import TorchFunctionMode

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError, first_line
from lerobot_sdm.policies.chunk_policy import ChunkPolicy
from lerobot_sdm.policies.loaded_policy import LoadedPolicy
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep
from lerobot_sdm.processors.observation_step import ObservationFitterStep
from lerobot_sdm.processors.point_cloud_step import PointCloudProcessorStep

NOISE = "noise"
"""Name of the graph's last input."""

REFUSED = {
    "difftori": "it optimizes every chunk along gradients of its learned reward, and a graph holds no gradients. "
    "Export its base"
}
"""Policy type -> why it has no graph, and what to do."""

SHAPING = {"rename_observations_processor", "to_batch_processor", "device_processor"}
"""LeRobot's steps that only rename, add the batch axis, or move tensors."""


class GivenNoise(TorchFunctionMode):
    """Within this context `torch.randn_like`, from which samplers draw noise between their jumps, returns given noise.

    In a trace, `torch.full` returns one number for the whole batch, which makes timesteps constants of the graph; and
    Mish is written out, because ONNX Runtime cannot compute its own operator in advance where the input is constant.

    Args:
        noise: (B, J, T, A); draw k gets [:, k + 1], because a sampler starts from the first. None to draw as usual.

    Attributes:
        draws: Number of draws so far.
    """

    def __init__(self, noise: Tensor | None):
        super().__init__()
        self._noise = noise
        self.draws = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.randn_like:
            self.draws += 1
            if self._noise is not None:
                return self._noise[:, self.draws]
        if func is torch.full and torch.compiler.is_exporting():
            args = ((1,), *args[1:])
        if func is F.mish and torch.compiler.is_exporting():
            return args[0] * F.softplus(args[0]).tanh()
        return func(*args, **(kwargs or {}))


class PolicyGraph(nn.Module):
    """Raw observations of `n_obs_steps` frames and noise in, `n_action_steps` actions in the robot's units out.

    Args:
        loaded: A policy with its pipelines.

    Attributes:
        keys: Names of the observations, in the order of the inputs; the noise is the last input.
        place: Index of the normalizer in the preprocessor; what comes before it prepares the graph's inputs.
        jumps: Start noise and the noise between jumps: J, the second axis of the noise.

    Raises:
        InputError: The policy cannot be one graph; says why.
    """

    @torch.no_grad()
    def __init__(self, loaded: LoadedPolicy):
        super().__init__()
        check_exportable(loaded)
        self.config = loaded.config
        self.policy = loaded.policy.eval()
        self.keys = tuple(loaded.config.input_features)
        self._normalize, self.place = _only(loaded.preprocess, NormalizerProcessorStep)
        self._unnormalize, _ = _only(loaded.postprocess, UnnormalizerProcessorStep)
        self.jumps = 1
        *observed, noise = self.example(batch=1)
        with GivenNoise(None) as drawn:
            self._plan(self._observed(observed), noise)
        self.jumps += drawn.draws

    def forward(self, *inputs: Tensor) -> Tensor:
        """Args: observations (B, n_obs_steps, ...) in the order of `keys`, then noise (B, J, horizon, A).
        Returns: actions (B, n_action_steps, A)."""
        *observed, noise = inputs
        with GivenNoise(noise):
            actions = self._plan(self._observed(observed), noise)
        bound = self.config.action_bound
        actions = actions if bound is None else actions.clamp(-bound, bound)
        return self._unnormalize(create_transition(action=actions))[TransitionKey.ACTION]

    def _plan(self, batch: dict[str, Tensor], noise: Tensor) -> Tensor:
        """Normalized actions (B, n_action_steps, A)."""
        return self.policy.plan(self.policy.inference_model.encode(batch), noise[:, 0], lambda: batch)

    def _observed(self, observed: Sequence[Tensor]) -> dict[str, Tensor]:
        """Normalized observations, by name."""
        raw = create_transition(observation=dict(zip(self.keys, observed, strict=True)))
        return self._normalize(raw)[TransitionKey.OBSERVATION]

    def example(self, batch: int) -> tuple[Tensor, ...]:
        """Random inputs of the right shapes."""
        generator = torch.Generator().manual_seed(0)
        return tuple(torch.rand(shape, generator=generator) for shape in self.shapes(batch).values())

    def shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Shape of each input for a batch size."""
        config = self.config
        shapes = {key: (batch, config.n_obs_steps, *config.input_features[key].shape) for key in self.keys}
        return shapes | {NOISE: (batch, self.jumps, config.horizon, config.action_feature.shape[0])}

    def trace(self, dynamic_points: bool) -> ExportedProgram:
        """Trace the graph with `torch.export`, for any batch size.

        Args:
            dynamic_points: Whether clouds may have any number of points, instead of that of the training.

        Raises:
            InputError: torch cannot trace this policy.
        """
        axes = {key: {0: Dim.DYNAMIC} for key in (*self.keys, NOISE)}
        if dynamic_points and POINT_CLOUD in self.keys:
            axes[POINT_CLOUD][2] = Dim.DYNAMIC
        # Axes of size 1 would be taken as constant.
        try:
            with torch.no_grad():
                return torch.export.export(self, self.example(batch=2), dynamic_shapes=(tuple(axes.values()),))
        except Exception as error:  # Whatever a policy does, it comes as one of many types of torch's.
            raise InputError(
                f"POLICY: the type '{self.config.type}' cannot be exported, because torch cannot trace it "
                f"({type(error).__name__}: {first_line(error)}). Run it with `lerobot-rollout`."
            ) from error


def check_exportable(loaded: LoadedPolicy) -> None:
    """Refuse a policy that cannot be one graph.

    Raises:
        InputError: Says why, and what to do.
    """
    kind = loaded.config.type
    if kind in REFUSED:
        raise InputError(f"POLICY: the type '{kind}' cannot be exported, because {REFUSED[kind]}.")
    if not isinstance(loaded.policy, ChunkPolicy):
        raise InputError(
            f"POLICY: the type '{kind}' cannot be exported, because it is not a policy of this package. Give a policy "
            "that lerobot_sdm has trained, or distill it (docs/teachers.md)."
        )
    images = list(loaded.config.image_features)
    if images:
        raise InputError(
            f"POLICY: sees the image '{images[0]}', and the runtime takes clouds and vectors only. Train a policy on "
            "clouds, or run this one with `lerobot-rollout`."
        )
    for pipeline, known in (
        (loaded.preprocess, (DepthToPointCloudStep, PointCloudProcessorStep, ObservationFitterStep)),
        (loaded.postprocess, ()),
    ):
        for step in pipeline.steps:  # type: ignore[attr-defined]
            name = getattr(type(step), "_registry_name", type(step).__name__)
            if not isinstance(step, (*known, NormalizerProcessorStep, UnnormalizerProcessorStep)) and (
                name not in SHAPING
            ):
                raise InputError(
                    f"POLICY: its pipeline has the step '{name}', which a graph cannot hold. Train the policy on data "
                    "that went through this step."
                )


def _only(pipeline: Any, kind: type) -> tuple[Any, int]:
    """The one step of a type in a pipeline, and its index."""
    ((place, step),) = ((place, step) for place, step in enumerate(pipeline.steps) if isinstance(step, kind))
    return step, place
