"""Check the shapes of datasets, environments and observations against those of a checkpoint."""

import math
from collections.abc import Mapping
from typing import Any

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.errors import InputError

MOST_CHANNELS = 16
"""A cloud with more channels and fewer points than this is transposed: no real cloud has so few points."""
FEWEST_CHANNELS = 3

Shape = tuple[int, ...]


def shapes_of(features: Mapping[str, Any]) -> dict[str, Shape]:
    """Name -> shape of objects that have one, such as LeRobot's `PolicyFeature`, a tensor or an array."""
    return {key: tuple(feature.shape) for key, feature in features.items()}


def check_sizes(
    found: Mapping[str, Shape],
    known: Mapping[str, Shape],
    where: str,
    owner: str,
    fix: str,
    complete: bool = False,
    cut: bool = True,
) -> None:
    """Refuse features whose shapes differ from a checkpoint's.

    A cloud may have a different number of points, since encoders take the maximum over points.

    Args:
        found: Name -> shape of the available features. A cloud may have any of the `POINT_CLOUD_KEYS`.
        known: Name -> shape of the features that the checkpoint was trained with.
        where: Where the available features are, such as "the dataset".
        owner: Whose shapes are known, such as "the checkpoint at outputs/run".
        fix: How to fix it, a sentence.
        complete: Whether all known features must be available.
        cut: Whether a cloud may have further channels, which a policy's pipeline drops.

    Raises:
        InputError: A feature differs; names the first one, with both shapes.
    """
    for key, theirs in known.items():
        name = next((name for name in _names(key) if name in found), None)
        if name is None:
            if complete:
                raise InputError(f"'{key}' is missing in {where} (it has {_listed(found)}); {owner} needs it. {fix}")
            continue
        mine = tuple(found[name])
        if key == POINT_CLOUD:
            check_upright(name, mine, where)
        if not _fits(key, mine, tuple(theirs), cut):
            raise InputError(f"'{name}' has shape {mine} in {where} and {tuple(theirs)} in {owner}. {fix}")


def check_checkpoint(config: Any, dataset: Any = None) -> None:
    """Refuse a dataset or an environment whose shapes differ from the checkpoint's.

    LeRobot silently overwrites the action feature of a loaded configuration with that of the dataset or environment.

    Args:
        config: Configuration of a checkpoint, after LeRobot's `make_policy` has modified it.
        dataset: Metadata of the training dataset; None for an environment.

    Raises:
        InputError: A shape differs; names the feature, both shapes and the checkpoint.
    """
    from lerobot.utils.feature_utils import dataset_to_policy_features

    found, known = shapes_of(config.output_features or {}), config.trained_shapes
    if takes_any_image_size(config):
        known = {key: shape for key, shape in known.items() if key not in config.image_features}
    where, fix = "the environment", "evaluate it in the environment that it was trained for."
    if dataset is not None:
        found |= shapes_of(dataset_to_policy_features(getattr(dataset, "features", {})))
        where = "the dataset"
        fix = (
            "give a dataset of the same robot, or train a new policy on this one with "
            f"--policy.type={config.type} instead of --policy.path."
        )
    fix = f"A policy needs the shapes that it was trained with: {fix}"
    check_sizes(found, known, where, f"the checkpoint at {config.pretrained_path}", fix)


def check_environment(config: Any, env: Any, path: str) -> None:
    """Refuse an environment whose features are missing or differ in shape from the policy's, before simulating.

    Args:
        config: Configuration of the policy.
        env: LeRobot's configuration of the environment.
        path: Where the policy's checkpoint is, for the message.

    Raises:
        InputError: A feature is missing or differs; names it, both shapes and the checkpoint.
    """
    from lerobot.envs.utils import env_to_policy_features

    known = shapes_of({**config.input_features, **config.output_features})
    if takes_any_image_size(config):
        known = {key: shape for key, shape in known.items() if key not in config.image_features}
    if getattr(getattr(config, "network_config", config), "depth_to_cloud", None) is not None:
        known.pop(POINT_CLOUD, None)
    fix = "Another option of the environment may add or change it, such as --env.obs_type for Push-T."
    where = f"the environment --env.type={env.type}"
    check_sizes(shapes_of(env_to_policy_features(env)), known, where, f"the checkpoint at {path}", fix, complete=True)


def takes_any_image_size(config: Any) -> bool:
    """Whether a policy with this configuration resizes images itself."""
    encoding = getattr(config, "network_config", config)
    return any(getattr(encoding, name, None) for name in ("resize_shape", "crop_shape"))


def check_upright(key: str, shape: Shape, where: str) -> None:
    """Raises: InputError: A cloud of this shape, (points, channels) after any leading dimensions, is transposed."""
    if len(shape) >= 2 and FEWEST_CHANNELS <= shape[-2] <= MOST_CHANNELS < shape[-1]:
        raise InputError(
            f"'{key}' has shape {shape} in {where}: {shape[-2]} points of {shape[-1]} channels, so the cloud lies on "
            "its side. A cloud is (points, channels): swap its last two axes."
        )


def check_vector(key: str, shape: Shape, kind: str) -> None:
    """Raises: InputError: A column of this shape in one frame is not a vector, as this type of policy needs."""
    if len(shape) != 1:
        what = "is a matrix" if len(shape) == 2 else "is no vector"
        raise InputError(
            f"'{key}' has shape {shape} in the dataset, which {what}: {kind} works with one vector a frame. Store it "
            f"as ({math.prod(shape)},), or keep the row that belongs to the frame."
        )


def _names(key: str) -> tuple[str, ...]:
    return POINT_CLOUD_KEYS if key == POINT_CLOUD else (key,)


def _fits(key: str, mine: Shape, theirs: Shape, cut: bool) -> bool:
    if key != POINT_CLOUD or len(mine) != len(theirs):
        return mine == theirs
    return mine[-1] >= theirs[-1] if cut else mine[-1] == theirs[-1]


def _listed(found: Mapping[str, Shape]) -> str:
    return ", ".join(sorted(found)) or "nothing"
