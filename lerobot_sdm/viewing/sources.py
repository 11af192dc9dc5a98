"""Opens one episode of a LeRobot dataset in a folder or on the Hub, or of a demonstration store."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.utils.constants import DEFAULT_FEATURES
from numpy.typing import NDArray

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS, ROBOT_CLOUD
from lerobot_sdm.datasets.convert.layouts import LAYOUTS
from lerobot_sdm.datasets.convert.look import look_at
from lerobot_sdm.datasets.damage import INFO, damage_is_an_input_error, open_checked
from lerobot_sdm.datasets.names import named
from lerobot_sdm.envs.options import view_sentence
from lerobot_sdm.errors import InputError
from lerobot_sdm.processors.cloud_view import read_provenance
from lerobot_sdm.processors.depth_config import DepthToCloudConfig
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep
from lerobot_sdm.viewing.episode import ShownEpisode, Signal, ordered, signal

LONGEST_SIGNAL = 256


def open_episode(source: str, number: int, cameras: DepthToCloudConfig | None, fps: float | None) -> ShownEpisode:
    """Open an episode for viewing.

    Args:
        source: Folder of a dataset, a zarr store (folder or zip file), or a dataset's name on the Hub.
        number: Number of the episode.
        cameras: Depth cameras whose images become a cloud, if the dataset has none.
        fps: Frames per second of a store; None for the rate of its layout.

    Raises:
        InputError: There is no such source or episode, or it cannot be read.
    """
    path = Path(source)
    is_dataset = (path / INFO).is_file()
    if fps is not None and (is_dataset or not path.exists()):
        raise InputError(f"--fps={fps}: a dataset has its own rate. Drop the option.")
    if is_dataset:
        # LeRobot needs a name even for a folder.
        return _dataset_episode(path.resolve().name, path, number, cameras)
    if path.exists():
        if cameras is not None:
            raise InputError(f"--cameras: {source} is a store, and cameras apply only to datasets. Convert it first.")
        return _store_episode(path, number, fps)
    if source.count("/") == 1 and not source.startswith((".", "/")):
        return _dataset_episode(source, None, number, cameras)
    raise InputError(f"{source}: not a folder, a file, or the name of a dataset. Give one, such as lerobot/pusht.")


def _check_number(number: int, episodes: int, source: str) -> None:
    if not 0 <= number < episodes:
        raise InputError(f"--episode={number}: {source} has episodes 0 to {episodes - 1}.")


def _dataset_episode(name: str, root: Path | None, number: int, cameras: DepthToCloudConfig | None) -> ShownEpisode:
    try:
        with damage_is_an_input_error(name, root):
            total = LeRobotDatasetMetadata(name, root).total_episodes
        _check_number(number, total, root or name)
        dataset = open_checked(name, root, episodes=[number], video_backend="pyav")
    except InputError:
        raise
    # A bad folder or connection can raise a dozen kinds of exception.
    except Exception as error:
        raise InputError(
            f"{root or name}: LeRobot cannot read this dataset ({type(error).__name__}: {error})."
        ) from error
    features = dataset.features
    depths = tuple(dataset.meta.depth_keys)
    images = tuple(key for key in dataset.meta.camera_keys if key not in depths)
    shapes = {key: tuple(feature["shape"]) for key, feature in features.items()}
    clouds = tuple(key for key in features if _is_cloud(key, shapes[key]))
    plain = [
        key
        for key, feature in features.items()
        if key not in (*clouds, *images, *depths, *DEFAULT_FEATURES)
        and feature["dtype"] != "string"
        and np.prod(shapes[key]) <= LONGEST_SIGNAL
    ]
    columns = dataset.hf_dataset.select_columns(plain).with_format("numpy")[:] if plain else {}
    signals = {key: signal(np.stack(list(columns[key])), features[key].get("names"), _short(key)) for key in plain}

    step = None
    if cameras is not None:
        for key in (*POINT_CLOUD_KEYS, ROBOT_CLOUD):
            if key in features:
                raise InputError(f"--cameras: {root or name} already has the cloud '{key}'. Drop the option.")
        cameras.check_shapes(shapes)
        step = DepthToPointCloudStep.from_config(cameras)
        clouds = (POINT_CLOUD, *clouds)
    meters = 0.001 if dataset.depth_output_unit == "mm" else 1.0

    def read(index: int) -> dict[str, NDArray]:
        item = dataset[index]
        frame = {key: item[key].numpy() for key in clouds if key in item}
        if step is not None:
            frame[POINT_CLOUD] = step.observation(item)[POINT_CLOUD].numpy()
        frame |= {key: (item[key] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy() for key in images}
        return frame | {key: _depth(item[key].numpy().squeeze(0) * meters) for key in depths}

    return ShownEpisode(
        title=f"{name}, episode {number} of {total}",
        fps=dataset.fps,
        length=len(dataset),
        task=str(dataset[0]["task"]),
        facts=({"robot": dataset.meta.robot_type} if dataset.meta.robot_type else {}) | _recorded_facts(dataset.root),
        clouds=clouds,
        images=images,
        depths=depths,
        signals=ordered(signals),
        read=read,
        crop=cameras.crop if cameras is not None else None,
        viewpoint=cameras.cameras[0].pose[:3, 3] if cameras is not None else None,
    )


def _store_episode(path: Path, number: int, fps: float | None) -> ShownEpisode:
    # Show the result of a conversion, so that users see what they will get.
    plan, notes = look_at(named(path), fps)
    store, ends = plan.store, plan.ends
    _check_number(number, len(ends), str(path))
    start, stop = plan.span(number)
    columns = {column.key: column for column in plan.columns}

    readers = plan.readers()
    images = tuple(key for key, column in columns.items() if column.kind == "image")
    depths = tuple(key for key, column in columns.items() if column.kind == "depth")
    clouds = tuple(key for key, column in columns.items() if _is_cloud(key, column.shape))
    seen = (*images, *depths, *clouds)

    def read(index: int) -> dict[str, NDArray]:
        row = start + index
        frame = {key: columns[key].read(readers, row, row + 1)[0] for key in seen}
        return frame | {key: _depth(frame[key][..., 0]) for key in depths}

    signals: dict[str, Signal] = {}
    for key, column in columns.items():
        if key not in seen and np.prod(column.shape) <= LONGEST_SIGNAL:
            signals[key] = signal(column.read(readers, start, stop), label=_short(key))
    return ShownEpisode(
        title=f"{store.name}, episode {number} of {len(ends)}",
        fps=plan.fps,
        length=stop - start,
        task="",
        facts=_store_facts(store.kind, plan.facts["layout"]),
        clouds=clouds,
        images=images,
        depths=depths,
        signals=ordered(signals),
        read=read,
        notes=tuple(notes),
    )


def _recorded_facts(root: Path) -> dict[str, str]:
    """Facts from a recording's provenance: view of the clouds, and points per part of the scene."""
    told = read_provenance(root)
    try:
        view = {"view": view_sentence(told["view"])} if told.get("view") else {}
        shown = ", ".join(
            f"{part} {points['mean']:g} (at least {points['least']})" for part, points in told.get("points", {}).items()
        )
    except (AttributeError, KeyError, TypeError, ValueError):  # Written by another tool or by hand.
        return {}
    return view | ({"points of a cloud": shown} if shown else {})


def _store_facts(kind: str, layout: str) -> Mapping[str, str]:
    facts = {"store": kind}
    if LAYOUTS[layout].frame:
        facts |= {"layout": layout, "frame": LAYOUTS[layout].frame}
    return facts


def _is_cloud(key: str, shape: tuple[int, ...]) -> bool:
    """Whether a column has the name and shape (N, 3 or more) of a cloud."""
    named = any(word in key for word in ("point_cloud", "pointcloud", "imagin_robot", "pcd"))
    return named and len(shape) == 2 and shape[1] >= 3


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _depth(meters: NDArray) -> NDArray[np.float32]:
    return np.where(np.isfinite(meters), meters, 0).astype(np.float32)
