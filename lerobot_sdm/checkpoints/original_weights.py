"""Translates the tensors in a checkpoint of the DP3 family to weights and statistics of this package's policies."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from lerobot.utils.constants import ACTION, OBS_STATE
from torch import Tensor
from tqdm import tqdm

from lerobot_sdm.checkpoints.original_policy import IMAGINED_ROBOT
from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.processors.normalization import Stats
from lerobot_sdm.safe_files.torch_archive import TensorEntry, TorchArchive

EMPTY_TENSORS = ("_dummy_variable", "mask_generator._dummy_variable")
NORMALIZER = "normalizer.params_dict."
NORMALIZER_PARTS = ("scale", "offset", *(f"input_stats.{name}" for name in ("min", "max", "mean", "std")))
LEROBOT_NAMES = {"action": ACTION, "agent_pos": OBS_STATE, "point_cloud": POINT_CLOUD}


def model_weights(
    archive: TorchArchive, entries: dict[str, TensorEntry], expected: dict[str, Tensor], config: DP3Config
) -> dict[str, Tensor]:
    """Weights of `DP3Model`; every tensor of the file must be used.

    Args:
        entries: The chosen weight set; `statistics` reads the tensors of the normalizer.
        expected: State dict of our model, for names and shapes.

    Raises:
        InputError: A tensor is missing, unexpected, of another shape, not float, or not finite.
    """
    names = {name: original_name(name, config.blocks_per_level) for name in expected}
    present = {name for name in entries if not name.startswith(NORMALIZER)}
    for name in EMPTY_TENSORS:
        if name in entries and 0 not in entries[name].shape:
            raise InputError(f"{archive.source}: '{name}' must be empty, but has shape {entries[name].shape}.")
    _same_names(archive.source, set(names.values()), present - set(EMPTY_TENSORS))
    tensors = {}
    for ours, theirs in tqdm(names.items(), desc="Reading weights", leave=False):
        if entries[theirs].shape != tuple(expected[ours].shape):
            raise InputError(
                f"{archive.source}: '{theirs}' has shape {entries[theirs].shape}, but its configuration requires "
                f"{tuple(expected[ours].shape)}."
            )
        tensors[ours] = _finite(archive, theirs, entries[theirs])
    return tensors


def original_name(name: str, blocks_per_level: int) -> str:
    """Name of a tensor of `DP3Model` in the released code.

    Args:
        name: Such as `unet.down_modules.0.2.weight`.
        blocks_per_level: With one block, samplers have index 1 in the original and 2 here.
    """
    name = re.sub(r"^unet\.", "model.", name)
    name = re.sub(r"\.conv([12])\.block\.", lambda match: f".blocks.{int(match[1]) - 1}.block.", name)
    return re.sub(r"((?:down|up)_modules\.\d+)\.2\.", rf"\1.{blocks_per_level}.conv.", name)


def statistics(archive: TorchArchive, entries: dict[str, TensorEntry], config: DP3Config, imagined: bool) -> Stats:
    """The normalizer as dataset statistics in LeRobot's form.

    The original computes x * scale + offset. LeRobot maps [min, max] to [-1, 1]; with min = (-1 - offset) / scale and
    max = (1 - offset) / scale this is the same map, including constant channels. An identity gets no statistics, so
    LeRobot's normalizer leaves it unchanged.

    Args:
        config: Our configuration, for the number of channels.
        imagined: Whether there is an imagined robot.

    Raises:
        InputError: A tensor is missing, unexpected, or of the wrong size; or cloud and imagined robot are normalized,
            so they cannot be joined into one cloud.
    """
    fields = [*LEROBOT_NAMES, *([IMAGINED_ROBOT] if imagined else [])]
    names = {f"{NORMALIZER}{field}.{part}" for field in fields for part in NORMALIZER_PARTS}
    _same_names(archive.source, names, {name for name in entries if name.startswith(NORMALIZER)})
    values = {name: _finite(archive, name, entries[name]) for name in sorted(names)}

    def affine(field: str, channels: int) -> tuple[Tensor, Tensor]:
        scale, offset = (values[f"{NORMALIZER}{field}.{part}"] for part in ("scale", "offset"))
        exact = scale.numel() == channels if field in ("action", "agent_pos") else scale.numel() >= channels
        if scale.shape != offset.shape or scale.ndim != 1 or not (exact or scale.numel() == 1):
            raise InputError(
                f"{archive.source}: the normalizer of '{field}' has shape {tuple(scale.shape)}, not ({channels},)."
            )
        if (scale == 0).any():
            raise InputError(f"{archive.source}: the normalizer of '{field}' has a scale of 0.")
        return scale[:channels], offset[:channels]

    if imagined and not all(_is_identity(*affine(field, 1)) for field in ("point_cloud", IMAGINED_ROBOT)):
        raise InputError(
            f"{archive.source}: normalizes 'point_cloud' or '{IMAGINED_ROBOT}'; they can be joined only "
            "if both are unnormalized, as in the released code."
        )
    sizes = {
        "action": config.action_feature.shape[0],
        "agent_pos": config.input_features[OBS_STATE].shape[0],
        "point_cloud": config.cloud_channels,
    }
    stats: Stats = {}
    for field, channels in sizes.items():
        scale, offset = (numbers.double() for numbers in affine(field, channels))
        if not _is_identity(scale, offset):
            low, high = (-1 - offset) / scale, (1 - offset) / scale
            stats[LEROBOT_NAMES[field]] = {"min": low.float().numpy(), "max": high.float().numpy()}
    return stats


def _is_identity(scale: Tensor, offset: Tensor) -> bool:
    return bool((scale == 1).all() and (offset == 0).all())


def _same_names(source: str, expected: Iterable[str], present: Iterable[str]) -> None:
    missing, extra = sorted(set(expected) - set(present)), sorted(set(present) - set(expected))
    if missing or extra:
        raise InputError(
            f"{source}: its tensors do not fit its configuration. Missing: {_first(missing)}; "
            f"unexpected: {_first(extra)}."
        )


def _first(names: list[str], count: int = 3) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(repr, names[:count])) + more if names else "none"


def _finite(archive: TorchArchive, name: str, entry: TensorEntry) -> Tensor:
    """A tensor in single precision, like the released code; must be finite."""
    tensor = archive.read(entry)
    if not tensor.is_floating_point():
        raise InputError(f"{archive.source}: '{name}' is of type {tensor.dtype}, not a float.")
    if not torch.isfinite(tensor).all():
        raise InputError(f"{archive.source}: '{name}' contains NaN or infinity, so this policy cannot work.")
    return tensor.float()
