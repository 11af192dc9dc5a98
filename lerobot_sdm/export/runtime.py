"""Run an exported policy with numpy and ONNX Runtime or OpenVINO: without torch, LeRobot or the rest of this package.

Every exported folder has a copy of this file. `python FOLDER/runtime.py` verifies the folder. To act:
`policy = Policy("FOLDER")`, `policy.reset(seed=0)`, `policy.act({"observation.point_cloud": ..., ...})`.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLOUD, NOISE = "observation.point_cloud", "noise"
MANIFEST, EVIDENCE, VERSION = "manifest.json", "certificate.npz", 1
KEYS = {"format": str, "graph": str, "inputs": dict, "output": dict, "files": dict, "certificate": dict, "version": int}
KEYS |= {"n_obs_steps": int, "n_action_steps": int, "invalid_points": str, "fps": (int, float)}
AGAIN = "Export the policy again, or copy the folder again."


class ExportError(ValueError):
    """A folder or an observation does not fit. The message names what, and the fix."""


class Policy:
    """An exported policy: queues of frames and actions around a graph. `manifest["fps"]` is the rate of its actions.

    Args:
        folder: Written by `lerobot-sdm export`.
        threads: CPU threads of the graph.
    """

    def __init__(self, folder: str | Path, threads: int = 1):
        self.folder, self.manifest = Path(folder), read_manifest(Path(folder))
        told = {name: entry.get("shape", [])[1:] for name, entry in self.manifest["inputs"].items()}
        wanted, kind = fixed_sizes(told), self.manifest["format"]
        try:
            shapes, self._run = OPENERS[kind](str(self.folder / self.manifest["graph"]), threads)
        except ImportError as error:
            raise ExportError(f"{folder}: is in the format {kind}: {error}. Run `pip install {error.name}`.") from error
        if shapes != wanted:
            raise ExportError(f"{folder}: {MANIFEST} tells of inputs {wanted}, but the graph has {shapes}. {AGAIN}")
        self._shapes = {name: shape[1:] for name, shape in wanted.items() if name != NOISE}
        self._noise_shape = (1, *told[NOISE])
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Start an episode. The same seed gives the same noise."""
        self._random = np.random.default_rng(seed)
        self._frames: deque[dict[str, np.ndarray]] = deque(maxlen=self.manifest["n_obs_steps"])
        self._actions: deque[np.ndarray] = deque()

    def act(self, observation: Mapping[str, Any], frame: str | None = None) -> np.ndarray:
        """The next action (A,) in the robot's units; plans a new chunk once the last one is used up.

        Args:
            observation: Raw vectors (D,) and cloud (N, C), by their names in the manifest. A cloud with more points
                than the graph takes is subsampled.
            frame: Coordinate frame of the cloud, to be compared with the training's if that is known; None to trust it.
        """
        trained = self.manifest["inputs"].get(CLOUD, {}).get("frame")
        if None not in (frame, trained) and frame != trained:
            raise ExportError(f"frame={frame}: the policy was trained on clouds in frame '{trained}'. Transform them.")
        seen = {name: self._checked(name, observation) for name in self._shapes}
        self._frames.extend([seen] * (1 if self._frames else self.manifest["n_obs_steps"]))
        if not self._actions:
            self._actions.extend(self.plan(self.noise())[0])
        return self._actions.popleft()

    def noise(self) -> np.ndarray:
        """Draw the noise of a chunk: (1, J, horizon, A), one for the start and one for each further jump."""
        return self._random.standard_normal(self._noise_shape, dtype=np.float32)

    def plan(self, noise: np.ndarray) -> np.ndarray:
        """Actions (1, n_action_steps, A) from the last frames, and from noise (1, J, horizon, A)."""
        stacked = {}
        for name in self._shapes:
            frames = [frame[name] for frame in self._frames]
            most = max(frames, key=len).shape  # With dynamic points, clouds may differ in their number.
            stacked[name] = np.stack([np.resize(value, most) for value in frames])[None]
        actions = self._run({**stacked, NOISE: noise})
        if not np.isfinite(actions).all():
            raise ExportError("planned actions are not finite, although all observations are. Nothing was executed.")
        return actions

    def cloud(self, points: np.ndarray, origin: Any = None) -> np.ndarray:
        """Make a cloud as in training: crop, subtract the frame's origin, subsample, or pad with zeros.

        Args:
            points: (n, C) in meters, in the frame of the manifest's `crop`; NaN and infinite points are dropped.
            origin: (3,) of a frame that moves with the robot, such as `hand`; None for a frame that stands still.
        """
        told = self.manifest["inputs"][CLOUD]
        if told["crop"] is None and told.get("view"):
            raise ExportError(f"{MANIFEST} lacks the box that cut out the training's clouds. Cut them, and call act().")
        points = np.array(points, dtype=np.float32)[:, : told["shape"][-1]]
        low, high = np.array(told["crop"] or ([-np.inf] * 3, [np.inf] * 3), dtype=np.float32)
        points = points[((points[:, :3] > low) & (points[:, :3] < high)).all(axis=1)]
        points[:, :3] -= np.array((0, 0, 0) if origin is None else origin, dtype=np.float32)
        picked = points[farthest_points(points, min(told["points"], len(points)))]
        return np.pad(picked, ((0, told["points"] - len(picked)), (0, 0)))

    def verify(self) -> dict[str, float]:
        """Repeat the certificate: errors against the policy's own actions, in normalized units."""
        given = dict(np.load(self.folder / EVIDENCE, allow_pickle=False))
        wanted, tolerance = given.pop("action"), self.manifest["certificate"]["tolerance"]
        found = [self._run({name: value[i : i + 1] for name, value in given.items()}) for i in range(len(wanted))]
        error = (np.concatenate(found) - wanted) / np.array(self.manifest["output"]["scale"])
        largest, rms = float(np.abs(error).max()), float(np.sqrt(np.square(error).mean()))
        if not largest <= tolerance:
            raise ExportError(f"the largest error is {largest:.3g}, above the tolerance of {tolerance:g}.")
        return {"largest_error": largest, "rms_error": rms}

    def _checked(self, name: str, observation: Mapping[str, Any]) -> np.ndarray:
        if name not in observation:
            raise ExportError(f"'{name}' is missing in the observation. The policy needs {', '.join(self._shapes)}.")
        shape, value = self._shapes[name], np.array(observation[name], dtype=np.float32)
        if name == CLOUD and value.ndim == 2 and value.shape[1] >= shape[1]:
            value = value[:, : shape[1]]
            if self.manifest["invalid_points"] == "drop" and (whole := np.isfinite(value).all(axis=1)).any():
                value = np.resize(value[whole], value.shape)
            if shape[0] is not None and len(value) > shape[0]:
                value = value[farthest_points(value, shape[0])] if np.isfinite(value).all() else value[: shape[0]]
        if len(shape) != value.ndim or any(a not in (None, b) for a, b in zip(shape, value.shape, strict=True)):
            told = f"'{name}' has shape {np.shape(observation[name])} in the observation, and {shape} in the graph"
            raise ExportError(f"{told}. Give the shape of the training; --points=dynamic exports clouds of any size.")
        if not value.size or not np.isfinite(value).all():
            raise ExportError(f"'{name}' is not finite in {(~np.isfinite(value)).sum()} of {value.size} numbers.")
        return value


def farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Rows (count,) of a farthest point sample of points (n, C), those of `clouds.farthest_point_sampling`."""
    xyz, nearest = np.ascontiguousarray(points[:, :3].T), np.full(len(points), np.inf, dtype=np.float32)
    picked: list[int] = []
    for _ in range(count):
        picked.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(xyz - xyz[:, picked[-1:]]).sum(axis=0))
        nearest[picked] = -1
    return np.array(picked, dtype=np.int64)


def fixed_sizes(shapes: Mapping[str, list]) -> dict[str, list]:
    """Shapes with None in the place of names, which stand for any size."""
    return {name: [size if isinstance(size, int) else None for size in shape] for name, shape in shapes.items()}


def sha256(file: Path) -> str:
    """Checksum of a file; robots have Python 3.10, which lacks `hashlib.file_digest`."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a folder's manifest and check all files against it; raises ExportError if anything is not as exported."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        wrong = [key for key, kind in KEYS.items() if not isinstance(manifest[key], kind)]
        wrong += ["format"] * (manifest["format"] not in OPENERS) + ["version"] * (manifest["version"] != VERSION)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{folder / MANIFEST}: is missing or damaged ({error!r}). {AGAIN}") from error
    if wrong:
        raise ExportError(f"{folder / MANIFEST}: its '{wrong[0]}' is not understood. {AGAIN}")
    for name in {manifest["graph"], EVIDENCE, *manifest["files"]}:
        file = folder / Path(name).name
        if file.name != name or not file.is_file() or sha256(file) != manifest["files"].get(name):
            raise ExportError(f"{file}: is missing, or was changed after the export. {AGAIN}")
    return manifest


def open_onnx(path: str, threads: int) -> tuple[dict[str, list], Any]:
    """Open a graph with ONNX Runtime: shapes of its inputs without the batch, and the function for a batch of one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_free_dimension_override_by_name("batch", 1)
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shapes = {port.name: port.shape[1:] for port in session.get_inputs()}  # A name is an axis of any size.
    return fixed_sizes(shapes), lambda inputs: session.run(None, inputs)[0]


def open_openvino(path: str, threads: int) -> tuple[dict[str, list], Any]:
    """The same with OpenVINO, which would compute in bfloat16 where the processor can."""
    import openvino

    model = (core := openvino.Core()).read_model(path)
    sizes = {port.any_name: list(port.partial_shape)[1:] for port in model.inputs}
    model.reshape({name: [1, *size] for name, size in sizes.items()})
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(model, "CPU", settings)
    shapes = {name: ["any" if n.is_dynamic else n.get_length() for n in size] for name, size in sizes.items()}
    return fixed_sizes(shapes), lambda inputs: compiled(inputs)[0]


OPENERS: dict[str, Callable[[str, int], Any]] = {"onnx": open_onnx, "openvino": open_openvino}

if __name__ == "__main__":
    print(Policy(Path(__file__).parent).verify())
