"""Check a policy's inputs before anything is computed: convert what can be converted without loss, reject the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.sizes import check_upright

Features = Mapping[str, PolicyFeature]
Batch = dict[str, Tensor]


def as_tensor(key: str, value: Any) -> Tensor:
    """Convert an observation (tensor, array or numbers) to a float tensor, and uint8 images to 0 to 1.

    Raises:
        InputError: The value is not of such a type.
    """
    if not isinstance(value, Tensor):
        try:
            # A robot's array may be read-only, or may be overwritten while this one is still in use.
            value = torch.from_numpy(np.array(value))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"'{key}' is of type {type(value).__name__} in the observation. Give a tensor or an array of numbers."
            ) from error
    if value.is_complex():
        raise InputError(f"'{key}' holds complex numbers in the observation. Give real ones.")
    if value.dtype == torch.uint8 and "image" in key:  # LeRobot's own rule for what is an image, and its scale.
        return value.float() / 255
    return value if value.is_floating_point() and value.dtype != torch.float64 else value.float()


def one_step(batch: Any, features: Features, like: Tensor, any_image_size: bool = False) -> Batch:
    """Check and convert the observation of one time step: a copy of each of `features` (B, ...), because a robot may
    overwrite the same memory with its next observation.

    Args:
        batch: Preprocessed observation. Arrays, other dtypes and devices, and a missing batch axis are accepted.
        features: Features that the policy was trained with.
        like: A weight of the network, whose device and dtype the observation gets.
        any_image_size: Whether the policy resizes images itself.

    Raises:
        InputError: An observation is missing or does not fit; names it.
    """
    observation = {}
    for key, feature in features.items():
        value = _present(batch, key)
        if tuple(feature.shape) == (1,) and value.ndim < 2:
            value = value.reshape(-1, 1)
        elif value.ndim == len(feature.shape):
            value = value.unsqueeze(0)
        _check_shape(key, value, feature, ("B",), any_image_size)
        observation[key] = value.to(device=like.device, dtype=like.dtype, copy=True)
    _check_same_batch(observation)
    return observation


def windows(batch: Any, features: Features, like: Tensor, frames: int, any_image_size: bool = False) -> Batch:
    """The same for observations of several time steps (B, frames, ...), oldest first, as used by
    `predict_action_chunk`; if frames is 1, the axis may be missing.

    Raises:
        InputError: An observation is missing or does not fit; names it.
    """
    observations = {}
    for key, feature in features.items():
        value = _present(batch, key)
        if tuple(feature.shape) == (1,) and value.ndim == 2 and value.shape[1] == frames:
            value = value.unsqueeze(-1)
        if value.ndim == 1 + len(feature.shape):
            if frames != 1:
                raise InputError(
                    f"'{key}' has shape {tuple(value.shape)}: one frame, where a chunk is planned from n_obs_steps="
                    f"{frames} of them, oldest first: (B, {frames}, {_written(feature)}). select_action keeps the last "
                    "frames itself."
                )
            value = value.unsqueeze(1)
        _check_shape(key, value, feature, ("B", str(frames)), any_image_size)
        observations[key] = value.to(device=like.device, dtype=like.dtype)
    _check_same_batch(observations)
    return observations


def with_vector_axes(batch: Batch, features: Features) -> Batch:
    """Restore the axis that LeRobot's reader drops from vectors of one element in a batch: (B, T) to (B, T, 1)."""
    scalars = [key for key, feature in features.items() if tuple(feature.shape) == (1,) and key in batch]
    return {**batch, **{key: batch[key].unsqueeze(-1) for key in scalars if batch[key].ndim == 2}}


def whole_clouds(cloud: Tensor) -> Tensor:
    """Replace NaN or infinite points of a cloud by other points of the same cloud.

    The valid points move up in their order, so that a cloud in farthest-point order keeps it, and are repeated from the
    first on to fill the cloud (..., N, C). Encoders take the maximum over points, so duplicates have no effect. A cloud
    without any valid point does not change.
    """
    bad = ~cloud.isfinite().all(dim=-1)
    left = (~bad).sum(dim=-1, keepdim=True)
    first_good = bad.to(torch.uint8).argsort(dim=-1, stable=True)
    place = torch.arange(cloud.shape[-2], device=cloud.device).expand(bad.shape) % left.clamp_min(1)
    return cloud.take_along_dim(first_good.take_along_dim(place, dim=-1).unsqueeze(-1), dim=-2)


def not_finite(frames: Iterable[Batch]) -> str | None:
    """Describe the first of several observations, each entry (B, ...), with NaN or infinity; None if all are finite."""
    frames = list(frames)
    flags = {
        (place, key): value.isfinite().flatten(1).all(dim=1)
        for place, frame in enumerate(frames)
        for key, value in frame.items()
    }
    if bool(torch.stack(list(flags.values())).all()):
        return None
    (place, key), flag = next(item for item in flags.items() if not bool(item[1].all()))
    row = int((~flag).nonzero()[0])
    value = frames[place][key][row]
    bad = ~value.isfinite()
    if key == POINT_CLOUD:
        count, of = int(bad.any(dim=-1).sum()), f"{value.shape[-2]} points"
    else:
        count, of = int(bad.sum()), f"{value.numel()} numbers"
    return f"environment {row}: the observation '{key}' is not finite in {count} of {of}"


def _present(batch: Any, key: str) -> Tensor:
    if not isinstance(batch, Mapping):
        raise InputError(f"observation: is of type {type(batch).__name__}. Give a mapping from names to tensors.")
    if key not in batch:
        seen = ", ".join(name for name in batch if str(name).startswith("observation"))
        raise InputError(
            f"'{key}' is missing in the observation (it has {seen or 'none'}); the policy was trained with it. "
            "Check the sensor, or rename it with --rename_map."
        )
    return as_tensor(key, batch[key])


def _check_shape(
    key: str, value: Tensor, feature: PolicyFeature, leading: tuple[str, ...], any_image_size: bool
) -> None:
    """Refuse an observation whose shape is not (*leading, *feature.shape), or a cloud without points."""
    shape, wanted, axes = tuple(value.shape), tuple(feature.shape), len(leading)
    cloud = key == POINT_CLOUD
    fits = value.ndim == axes + len(wanted)
    fits = fits and all(not size.isdigit() or int(size) == mine for size, mine in zip(leading, shape, strict=False))
    if fits and cloud:
        check_upright(key, shape, "the observation")
        if 0 in shape:
            raise InputError(
                f"'{key}' has shape {shape} in the observation: no points. Skip this observation, or check the camera "
                "and the crop of its cloud."
            )
        fits = shape[-1] >= wanted[-1]
    elif fits:
        compared = 1 if any_image_size and feature.type is FeatureType.VISUAL else len(wanted)
        fits = shape[axes : axes + compared] == wanted[:compared]
    if not fits:
        raise InputError(
            f"'{key}' has shape {shape} in the observation and ({', '.join(leading)}, {_written(feature)}) in the "
            "checkpoint. A policy needs the shapes that it was trained with."
        )


def _check_same_batch(observation: Batch) -> None:
    sizes = {key: len(value) for key, value in observation.items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        told = ", ".join(f"'{key}': {size}" for key, size in sizes.items())
        raise InputError(f"observation: the batch sizes differ or are 0 ({told}). Give one row per robot.")


def _written(feature: PolicyFeature) -> str:
    """The shape of a feature, without brackets; a cloud may have any number of points."""
    shape = tuple(feature.shape)
    return ", ".join(map(str, ("N", *shape[1:]) if len(shape) == 2 else shape))
