"""Settings of how a policy runs, shared by all policies of this package. They do not affect training."""

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.policies.settings import check_values
from lerobot_sdm.processors.sizes import shapes_of

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16", "int8")
"""Precisions supported by `nets.precision`; listed here so that reading a configuration imports no networks."""

NO_PEFT = (
    "this package's policies are trained whole, and their checkpoints have no adapters. Drop the option; "
    "--policy.path=CHECKPOINT fine-tunes all weights."
)

WIDTH, LENGTH, LEVELS, PIXELS, DEPTH = 8192, 10_000, 100_000, 16_384, 256
MOST = {
    **dict.fromkeys(("down_dims", "n_groups", "diffusion_step_embed_dim", "latent_dim", "hidden_dim"), WIDTH),
    "mixer_width": WIDTH,
    **dict.fromkeys(("mixer_depth", "mixer_ratio"), DEPTH),
    **dict.fromkeys(("encoder_hidden_dims", "encoder_out_dim", "state_mlp_dims"), WIDTH),
    "spatial_softmax_num_keypoints": WIDTH,
    **dict.fromkeys(("horizon", "chunk_size", "n_obs_steps", "kernel_size"), LENGTH),
    **dict.fromkeys(("num_train_timesteps", "bins", "num_inference_steps", "teacher_inference_steps"), LEVELS),
    **dict.fromkeys(("solver_levels", "timestep_levels", "max_solver_steps", "coupled_copies", "n_iterations"), LEVELS),
    **dict.fromkeys(("resize_shape", "crop_shape"), PIXELS),
    "samples": 1024,
    "pair_buffer_size": 100_000_000,
    "feature_memory_mb": 100_000_000,
}
"""Settings that determine memory or run time -> a limit far above any sensible value, so that a typo cannot exhaust
memory."""
LEAST = {"n_iterations": 0, "timestep_levels": 0, "feature_memory_mb": 0}
"""Settings with a minimum other than 1 -> that minimum."""


@dataclass
class InferenceConfig(PreTrainedConfig):
    """How a trained policy runs. Training ignores these settings, and they do not change the checkpoint.

    Args:
        inference_precision: Precision of most of a U-Net's weights and a third of a mixer's (`nets.precision`):
            `float32` is exact, `bfloat16` and, on a CPU, `int8` are faster; `lerobot-sdm latency` reports by how much
            actions change.
        compile_model: Compile the denoiser with `torch.compile` on its first call.
        compile_mode: Mode of `torch.compile`; `reduce-overhead` uses CUDA graphs.
        action_bound: Normalized actions are clipped to plus and minus this; with MIN_MAX normalization, 1 is the range
            of the data. None for no clipping.
        drop_invalid_points: Replace NaN or infinite points of a cloud with other points of the same cloud. If false,
            such a cloud is refused.
        cloud_view: How the training data's clouds were made, if the dataset says so. Filled in by training; a warning
            is logged when the policy meets clouds made differently.
        action_feature_names: Names of the action's dimensions, if the dataset has them. Filled in by training;
            `lerobot-rollout` warns if the robot's differ.

    Attributes:
        trained_shapes: Feature -> shape when the configuration was created, which for a checkpoint are the shapes it
            was trained with. Needed because LeRobot overwrites the action shape with that of the current dataset or
            environment.
    """

    retired: ClassVar[tuple[str, ...]] = ()
    """Fields of earlier versions that a saved configuration may still contain, and that no longer have any effect."""

    inference_precision: str = "float32"
    compile_model: bool = False
    compile_mode: str = "reduce-overhead"
    action_bound: float | None = None
    drop_invalid_points: bool = False
    cloud_view: dict[str, Any] | None = None
    action_feature_names: list[str] | None = None

    @classmethod
    def upgraded(cls, saved: dict[str, Any]) -> dict[str, Any]:
        """Drop the fields of earlier versions from a saved configuration, with a warning.

        Args:
            saved: The contents of a `config.json` or a settings file; not modified.

        Raises:
            InputError: A removed field asks for something that is no longer supported.
        """
        old = sorted(saved.keys() & set(cls.retired))
        if not old:
            return saved
        logger.warning(
            "This %s configuration was written for an earlier version. These settings no longer have any effect: %s. "
            "Saving the policy again removes them.",
            cls.get_choice_name(cls),
            ", ".join(old),
        )
        return {name: value for name, value in saved.items() if name not in old}

    def __post_init__(self) -> None:
        self.trained_shapes = shapes_of({**(self.input_features or {}), **(self.output_features or {})})
        check_values(self, {name: (LEAST.get(name, 1), most) for name, most in MOST.items()})
        try:
            super().__post_init__()
        except ValueError as error:  # raised by LeRobot; draccus would replace its message by one without the device
            raise InputError(f"--policy.device={self.device}: {error}") from error
        if self.use_peft:
            raise InputError(f"--policy.use_peft=true: {NO_PEFT}")
        check_known("--policy.inference_precision", self.inference_precision, PRECISIONS)
        for name in ("action_bound", "clip_sample_range", "clip_range"):
            bound = getattr(self, name, None)
            if bound is not None and not 0 < bound < float("inf"):
                raise InputError(f"--policy.{name}={bound}: must be a finite number above 0.")
        if self.compile_model and self.inference_precision == "int8":
            raise InputError(
                "--policy.compile_model=true: torch cannot compile --policy.inference_precision=int8, which would run "
                "slower than without. Drop one of the two options."
            )

    @property
    def reward_delta_indices(self) -> None:
        return None
