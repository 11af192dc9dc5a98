"""Reads and loads weights strictly."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lerobot_sdm.errors import InputError


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Raises:
        InputError: The file is damaged, or contains numbers that are not finite.
    """
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"{path}: not a valid safetensors file ({error}). Copy or download it again, or use another checkpoint of "
            "the run."
        ) from error
    for name, value in weights.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(
                f"{path}: '{name}' contains numbers that are not finite. Use another checkpoint of the run."
            )
    return weights


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into a module; names and shapes must match exactly, and floats must stay floats.

    Raises:
        InputError: Lists the first names that do not match.
    """
    expected = module.state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = sorted(key for key in expected.keys() & state.keys() if _kind(expected[key]) != _kind(state[key]))
    if missing or extra or wrong:
        raise InputError(
            f"{source}: the weights do not fit the configuration next to them "
            f"(missing: {missing[:3]}, unexpected: {extra[:3]}, other shape or type: {wrong[:3]})."
        )
    module.load_state_dict(state)


def _kind(value: Tensor) -> tuple:
    """The properties that must match. Another float precision is fine; an integer instead of a float is not."""
    return value.shape, value.is_floating_point()
