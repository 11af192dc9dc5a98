"""What any policy of this package may be told about how to run, which changes nothing about what it has learned."""

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, unknown_name
from lerobot_sdm.policies.settings import check_values
from lerobot_sdm.processors.sizes import shapes_of

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16", "int8")
"""What `nets.precision` can do; named here, because configurations are read without importing torch's networks."""

WIDTH, LENGTH, LEVELS, PIXELS = 8192, 10_000, 100_000, 16_384
MOST = {
    **dict.fromkeys(("down_dims", "n_groups", "diffusion_step_embed_dim", "latent_dim", "hidden_dim"), WIDTH),
    **dict.fromkeys(("encoder_hidden_dims", "encoder_out_dim", "state_mlp_dims"), WIDTH),
    "spatial_softmax_num_keypoints": WIDTH,
    **dict.fromkeys(("horizon", "chunk_size", "n_obs_steps", "kernel_size"), LENGTH),
    **dict.fromkeys(("num_train_timesteps", "bins", "num_inference_steps", "teacher_inference_steps"), LEVELS),
    **dict.fromkeys(("solver_levels", "timestep_levels", "max_solver_steps", "coupled_copies", "n_iterations"), LEVELS),
    **dict.fromkeys(("resize_shape", "crop_shape"), PIXELS),
    "pair_buffer_size": 100_000_000,
    "feature_memory_mb": 100_000_000,
}
"""Settings that decide how large something gets, or how long it takes -> far more than anybody has needed: a slip of
the pen must not take all memory."""
LEAST = {"n_iterations": 0, "solver_levels": 0, "feature_memory_mb": 0}
"""Least value of those of them that need not be 1."""


@dataclass
class InferenceConfig(PreTrainedConfig):
    """How a trained policy runs. Training ignores all of it, and the checkpoint stays as it is.

    Args:
        inference_precision: Of the denoiser's convolutions: `float32` is exact, `bfloat16` and, on a CPU, `int8` are
            faster; `lerobot-sdm latency` says by how much actions change.
        compile_model: Compile the denoiser with `torch.compile` at its first call.
        compile_mode: How; `reduce-overhead` uses CUDA graphs.
        action_bound: Normalized actions are clipped to plus and minus this; with MIN_MAX normalization 1 is what the
            data hold. None leaves them as the policy plans them.
        drop_invalid_points: Replace the points of a cloud that are NaN or infinite by others of the same cloud. Without
            it such a cloud is refused.
        cloud_view: How the clouds that the policy was trained on were made, where the dataset says so. Filled in by
            training; whoever acts on other clouds is told so.

    Attributes:
        trained_shapes: Feature -> shape as the configuration had them when it was made, for a checkpoint those that it
            was trained with: LeRobot puts the actions of the dataset or environment that it meets in their place.
    """

    retired: ClassVar[tuple[str, ...]] = ()
    """Fields of earlier versions that a saved configuration may still hold, and that decide nothing any more."""

    inference_precision: str = "float32"
    compile_model: bool = False
    compile_mode: str = "reduce-overhead"
    action_bound: float | None = None
    drop_invalid_points: bool = False
    cloud_view: dict[str, Any] | None = None

    @classmethod
    def upgraded(cls, saved: dict[str, Any]) -> dict[str, Any]:
        """The settings of a saved configuration without the fields of earlier versions, of which it warns.

        Args:
            saved: What stands in a `config.json` or a file of settings. It is left as it is.

        Raises:
            InputError: A field that is gone asks for something that no longer exists.
        """
        old = sorted(saved.keys() & set(cls.retired))
        if not old:
            return saved
        logger.warning(
            "This %s configuration was written for an earlier version. These settings have no effect any more: %s. "
            "Saving the policy again leaves them out.",
            cls.get_choice_name(cls),
            ", ".join(old),
        )
        return {name: value for name, value in saved.items() if name not in old}

    def __post_init__(self) -> None:
        self.trained_shapes = shapes_of({**(self.input_features or {}), **(self.output_features or {})})
        check_values(self, {name: (LEAST.get(name, 1), most) for name, most in MOST.items()})
        try:
            super().__post_init__()
        except ValueError as error:  # LeRobot's, in whose place draccus would say nothing of the device
            raise InputError(f"--policy.device={self.device}: {error}") from error
        if self.inference_precision not in PRECISIONS:
            raise unknown_name("--policy.inference_precision", self.inference_precision, PRECISIONS)
        if self.action_bound is not None and not 0 < self.action_bound < float("inf"):
            raise InputError(f"--policy.action_bound={self.action_bound}: must be a finite number above 0.")
        if self.compile_model and self.inference_precision == "int8":
            raise InputError(
                "--policy.compile_model=true: torch cannot compile the products of --policy.inference_precision=int8, "
                "which would run slower than without. Leave out one of the two."
            )
