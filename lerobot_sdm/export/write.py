"""Export a policy to a folder: graph, manifest, certificate and runtime. A folder appears only when it is verified."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.utils.constants import ACTION

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.datasets.damage import damage_is_an_input_error
from lerobot_sdm.datasets.disk import disk_full_is_an_input_error
from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.export import runtime
from lerobot_sdm.export.certificate import action_scale, gather, graph_inputs, split, start_noise
from lerobot_sdm.export.formats import WRITERS, input_shapes, quiet
from lerobot_sdm.export.graph import NOISE, PolicyGraph
from lerobot_sdm.export.options import EXTRAS, TOLERANCES
from lerobot_sdm.files import new_folder, write_json
from lerobot_sdm.measure.observations import held_out_observations
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.policies.source.files import fingerprint
from lerobot_sdm.processors.depth_step import DepthToPointCloudStep

COLUMNS = ("x", "y", "z", "red", "green", "blue")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What to export, and how.

    Args:
        policy: The policy.
        output: Folder to create.
        format: One of `options.EXTRAS`.
        precision: One of `options.TOLERANCES`.
        points: "fixed" for clouds of the training's number of points, "dynamic" for any.
        repo_id: Dataset from which observations are taken.
        root: Its folder; None for LeRobot's cache.
        observations: How many the certificate is made from.
        calibration: How many other ones the ranges of an int8 graph are taken from.
        samples: Chunks for each observation, to measure the policy's own spread.
        tolerance: Largest error, in normalized units; None for the precision's default.
        seed: Of the noise.
    """

    policy: PolicySpec
    output: Path
    format: str
    precision: str
    points: str
    repo_id: str
    root: Path | None
    observations: int
    calibration: int
    samples: int
    tolerance: float | None
    seed: int


def export(order: Export, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Export a policy, and return the manifest.

    Args:
        order: What to export; its options are checked (`options.check_options`).
        progress: Told what is being done.

    Raises:
        InputError: The policy cannot be exported, the dataset does not fit, the folder exists, or an action differs
            from the policy's own by more than the tolerance. Nothing is left behind.
    """
    refuse_existing("--output", order.output)
    exact = order.policy.overrides | {"inference_precision": "float32", "compile_model": "false"}
    loaded = load_from_spec(PolicySpec(order.policy.label, order.policy.path, exact))
    graph = PolicyGraph(loaded)
    with damage_is_an_input_error(order.repo_id, order.root):
        dataset = LeRobotDatasetMetadata(order.repo_id, root=order.root)
    held_out, calibration = _observations(order, loaded, dataset.total_frames)
    progress("Running the policy itself")
    evidence, spread = gather(loaded, graph, held_out, order.samples, order.seed)
    with new_folder(order.output) as unfinished, disk_full_is_an_input_error(order.output, resumes=False):
        progress("Tracing and converting")
        np.savez_compressed(unfinished / runtime.EVIDENCE, **evidence)
        names = [*graph.keys, NOISE]
        with quiet():
            program = graph.trace(order.points == "dynamic")
            file = WRITERS[order.format](program, names, _calibration(order, loaded, graph, calibration), unfinished)
        shutil.copyfile(runtime.__file__, unfinished / "runtime.py")
        shapes = dict(zip(names, input_shapes(program), strict=True))
        manifest = _manifest(order, loaded, graph, shapes, file, dataset)
        manifest["files"] = {path.name: runtime.sha256(path) for path in sorted(unfinished.iterdir())}
        write_json(unfinished / runtime.MANIFEST, manifest)
        progress("Comparing the graph with the policy")
        certificate = manifest["certificate"]
        try:
            certificate |= runtime.Policy(unfinished).verify()
        except runtime.ExportError as error:
            raise InputError(f"--tolerance={certificate['tolerance']:g}: {error} Give a larger one.") from error
        certificate["spread_of_the_policy"] = spread
        write_json(unfinished / runtime.MANIFEST, manifest)
    return manifest


def _observations(order: Export, loaded: LoadedPolicy, frames: int) -> tuple[dict, dict]:
    """Raw observations of the certificate and, for int8, others for calibration, of a dataset with so many frames."""
    calibrated = order.calibration if order.precision == "int8" else 0
    count = order.observations + calibrated
    if count > frames:
        raise InputError(
            f"--observations={order.observations}{f', --calibration={calibrated}' if calibrated else ''}: need {count} "
            f"different frames, but '{order.repo_id}' has {frames}. Give smaller numbers, or a larger dataset."
        )
    seen = held_out_observations(order.repo_id, order.root, loaded.config, count)
    seen = {POINT_CLOUD if key == "observation.pointcloud" else key: value for key, value in seen.items()}
    if order.points == "fixed" and POINT_CLOUD in seen:
        mine, theirs = seen[POINT_CLOUD].shape[-2], loaded.config.input_features[POINT_CLOUD].shape[0]
        if mine != theirs:
            raise InputError(
                f"--dataset.repo_id={order.repo_id}: its clouds have {mine} points, and those of the training have "
                f"{theirs}. Give --points=dynamic, or a dataset with {theirs} points."
            )
    return split(seen, order.observations)


def _calibration(order: Export, loaded: LoadedPolicy, graph: PolicyGraph, observations: dict) -> list[dict]:
    """Inputs from which int8 ranges are taken, one after the other; none for float32."""
    if order.precision != "int8":
        return []
    inputs = graph_inputs(loaded, graph, observations)
    noise = start_noise(graph, 1, len(inputs[graph.keys[0]]), order.seed + 1)[:, 0].numpy()
    inputs[NOISE] = noise
    return [{name: value[index : index + 1] for name, value in inputs.items()} for index in range(len(noise))]


def _manifest(
    order: Export, loaded: LoadedPolicy, graph: PolicyGraph, shapes: dict, file: str, dataset: LeRobotDatasetMetadata
) -> dict[str, Any]:
    """The manifest without checksums and results."""
    config = loaded.config
    scale, offset = action_scale(loaded)
    packages = ("lerobot_policy_sdm", "lerobot", "torch", "numpy", *EXTRAS[order.format])
    return {
        "version": runtime.VERSION,
        "format": order.format,
        "precision": order.precision,
        "graph": file,
        "policy": {
            "type": config.type,
            "overrides": order.policy.overrides,
            "weights_sha256": fingerprint(order.policy.path),
        },
        "n_obs_steps": config.n_obs_steps,
        "n_action_steps": config.n_action_steps,
        "fps": dataset.fps,
        "invalid_points": "drop" if config.drop_invalid_points else "refuse",
        "inputs": {key: _input(key, shapes[key], loaded, dataset) for key in graph.keys}
        | {
            NOISE: {
                "shape": ["batch", *shapes[NOISE][1:]],
                "dtype": "float32",
                "unit": "standard normal",
                "axes": ["batch", "start and further jumps", "step of the horizon", "action"],
            }
        },
        "output": {
            "name": ACTION,
            "shape": ["batch", config.n_action_steps, config.action_feature.shape[0]],
            "dtype": "float32",
            "unit": "that of the dataset",
            "names": _names(dataset.features.get(ACTION), config.action_feature.shape[0]),
            "scale": scale,
            "offset": offset,
        },
        "certificate": {
            "tolerance": TOLERANCES[order.precision] if order.tolerance is None else order.tolerance,
            "unit": "normalized actions",
            "observations": order.observations,
            "calibration": order.calibration if order.precision == "int8" else 0,
            "samples": order.samples,
            "seed": order.seed,
            "dataset": order.repo_id,
        },
        "versions": {name: version(name) for name in packages} | {"lerobot_sdm": version("lerobot_policy_sdm")},
    }


def _input(key: str, shape: tuple, loaded: LoadedPolicy, dataset: LeRobotDatasetMetadata) -> dict[str, Any]:
    """The manifest's entry of an observation."""
    config, steps = loaded.config, loaded.preprocess.steps  # type: ignore[attr-defined]
    crop = next((step.crop for step in steps if isinstance(step, DepthToPointCloudStep)), None)
    sizes = [size if isinstance(size, int) else "points" for size in shape[2:]]
    told: dict[str, Any] = {"shape": ["batch", shape[1], *sizes], "dtype": "float32"}
    if key != POINT_CLOUD:
        return {**told, "unit": "that of the dataset", "names": _names(dataset.features.get(key), shape[2])}
    view = config.cloud_view or {}
    return {
        **told,
        "unit": "m" if shape[-1] == 3 else "m; colors 0 to 255",
        "columns": list(COLUMNS[: shape[-1]]),
        "points": config.input_features[key].shape[0],
        "frame": view.get("frame"),
        "crop": view.get("crop") or crop,
        "view": view or None,
    }


def _names(feature: dict | None, size: int) -> list[str]:
    """A vector's names in the dataset, flattened; numbers if it has none."""
    names = (feature or {}).get("names")
    if isinstance(names, dict):
        names = [name for group in names.values() for name in (group if isinstance(group, list) else [group])]
    return [str(name) for name in names] if names and len(names) == size else [str(index) for index in range(size)]
