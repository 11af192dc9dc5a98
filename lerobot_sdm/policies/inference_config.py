"""What any policy of this package may be told about how to run, which changes nothing about what it has learned."""

from dataclasses import dataclass

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, unknown_name

PRECISIONS = ("float32", "bfloat16", "int8")
"""What `nets.precision` can do; named here, because configurations are read without importing torch's networks."""


@dataclass
class InferenceConfig(PreTrainedConfig):
    """How a trained policy runs. Training ignores all of it, and the checkpoint stays as it is.

    Args:
        inference_precision: Of the denoiser's convolutions: `float32` is exact, `bfloat16` and, on a CPU, `int8` are
            faster; `lerobot-sdm bench` says by how much actions change.
        compile_model: Compile the denoiser with `torch.compile` at its first call.
        compile_mode: How; `reduce-overhead` uses CUDA graphs.
        action_bound: Normalised actions are clipped to plus and minus this; with MIN_MAX normalisation 1 is what the
            data hold. None leaves them as the policy plans them.
    """

    inference_precision: str = "float32"
    compile_model: bool = False
    compile_mode: str = "reduce-overhead"
    action_bound: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inference_precision not in PRECISIONS:
            raise unknown_name("--policy.inference_precision", self.inference_precision, PRECISIONS)
        if self.action_bound is not None and not 0 < self.action_bound < float("inf"):
            raise InputError(f"--policy.action_bound={self.action_bound}: must be a finite number above 0.")
        if self.compile_model and self.inference_precision == "int8":
            raise InputError(
                "--policy.compile_model=true: torch cannot compile the products of --policy.inference_precision=int8, "
                "which would run slower than without. Leave out one of the two."
            )
