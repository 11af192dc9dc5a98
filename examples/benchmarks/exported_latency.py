"""What a decision of a one-step student costs on a CPU: torch, compiled torch, ONNX Runtime, OpenVINO.

    python examples/benchmarks/exported_latency.py --output=exported_latency.json

Milliseconds from a raw observation to the first action of a new chunk at batch size 1, encoder included, in float32
and int8. For each network and number of threads, all rows take turns: a decision after a pause, in which the other rows
have filled the caches, as on a robot that decides a few times a second; then two more at once. Weights are random, so
int8's error says nothing about trained policies. `floor` is what reading the weights once takes at the memory bandwidth
of as many threads, measured first; weights that fit the processor's caches can be read faster.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inference import bandwidth
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from numpy.typing import NDArray
from random_policies import write_policies
from training import dp3_config

from lerobot_sdm.errors import refuse_existing
from lerobot_sdm.export import runtime
from lerobot_sdm.export.write import Export, export
from lerobot_sdm.files import write_json, write_text
from lerobot_sdm.measure import tables
from lerobot_sdm.measure.latency import weights_size
from lerobot_sdm.measure.records import machine, versions
from lerobot_sdm.policies.loaded_policy import LoadedPolicy, load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

REPO_ID = "local/random"
PAUSE = 0.01
"""Seconds before a turn, in which the threads of ONNX Runtime stop waiting for the next decision."""

AT_ONCE = 2
"""Decisions of a turn without a pause before them."""

NETWORKS: dict[str, dict[str, Any]] = {
    "paper": {"horizon": 4, "down_dims": (512, 1024, 2048)},
    "simple": {"horizon": 16, "down_dims": (128, 256, 384), "blocks_per_level": 1},
    "small": {"horizon": 16, "down_dims": (32, 64, 128), "blocks_per_level": 1, "encoder_hidden_dims": (32, 64, 128)},
    "mixer": {"horizon": 8, "backbone": "mixer", "mixer_width": 128, "mixer_depth": 6},
}
"""Name -> settings of the teacher that the student is a copy of; `small` is the quickstart's, which has 128 points, and
`mixer` that of the Hydra-DP3 paper."""
POINTS = {"small": 128}
NAMES = {"paper": "DP3's, 255 M", "simple": "Simple DP3's", "mixer": "mixer, 2.5 M", "small": "`small`, 1 M"}
"""Network -> its name in the overview."""
FLOOR = ("torch eager", "float32")
SHOWN = {
    "torch, float32": FLOOR,
    "ONNX Runtime": ("onnx", "float32"),
    "OpenVINO": ("openvino", "float32"),
    "OpenVINO, int8": ("openvino", "int8"),
}
"""Column of the overview -> engine and precision."""


@dataclass(frozen=True)
class Row:
    """A way to run a network.

    Args:
        median_ms, p95_ms: Of the decisions after a pause.
        at_once_ms: Median of those without one.
        megabytes: Of weights, which each decision reads once.
        floor_ms: Time to read them.
        largest_error: Of the certificate; None for torch.
    """

    network: str
    threads: int
    engine: str
    precision: str
    median_ms: float
    p95_ms: float
    at_once_ms: float
    megabytes: float
    floor_ms: float
    largest_error: float | None


@dataclass(frozen=True)
class Runner:
    """What is timed: `decide` gets a raw observation and plans from an empty queue."""

    engine: str
    precision: str
    decide: Callable[[dict[str, np.ndarray]], Any]
    bytes: int
    largest_error: float | None = None


def write_student(folder: Path, name: str) -> Path:
    """Checkpoint of an untrained student."""
    config = dp3_config(device="cpu", points=POINTS.get(name, 512), **NETWORKS[name])
    return write_policies(folder, ("sdm",), config)["sdm"]


def write_dataset(root: Path, shapes: dict[str, tuple[int, ...]], frames: int = 40) -> Path:
    """An episode of random frames, for certificate and calibration."""
    features = {key: {"dtype": "float32", "shape": shape, "names": None} for key, shape in shapes.items()}
    dataset = LeRobotDataset.create(REPO_ID, fps=30, features=features, root=root, use_videos=False)
    random = np.random.default_rng(0)
    for _ in range(frames):
        values = {key: random.uniform(-1, 1, shape).astype(np.float32) for key, shape in shapes.items()}
        dataset.add_frame({**values, "task": "none"})
    dataset.save_episode()
    dataset.finalize()
    return root


def torch_runner(path: Path, engine: str, precision: str, **overrides: str) -> Runner:
    """A policy in torch."""
    loaded: LoadedPolicy = load_from_spec(
        PolicySpec(engine, str(path), {"inference_precision": precision, **overrides})
    )

    @torch.inference_mode()
    def decide(observation: dict[str, np.ndarray]) -> Any:
        loaded.policy.reset()
        batch = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
        return loaded.postprocess(loaded.policy.select_action(loaded.preprocess(batch)))

    return Runner(engine, precision, decide, weights_size(loaded))


def exported_runner(folder: Path, threads: int) -> Runner:
    """An exported policy."""
    policy = runtime.Policy(folder, threads)

    def decide(observation: dict[str, np.ndarray]) -> Any:
        policy.reset(0)
        return policy.act(observation)

    told = policy.manifest
    size = sum(file.stat().st_size for file in folder.glob("model*") if file.suffix != ".xml")
    return Runner(told["format"], told["precision"], decide, size, told["certificate"]["largest_error"])


def export_all(folder: Path, student: Path, dataset: Path, options: argparse.Namespace) -> list[Path]:
    """The student in every format and precision."""
    folders = []
    for format_, precision in itertools.product(options.formats, options.precisions):
        folders.append(folder / f"{format_}-{precision}")
        order = Export(
            policy=PolicySpec.parse(str(student)),
            output=folders[-1],
            format=format_,
            precision=precision,
            points="fixed",
            repo_id=REPO_ID,
            root=dataset,
            observations=8,
            calibration=16,
            samples=1,
            tolerance=100.0,  # The weights are random, so the error is shown and not judged.
            seed=0,
        )
        export(order)
    return folders


def time_in_turns(
    runners: list[Runner], observation: dict[str, np.ndarray], options: argparse.Namespace
) -> Iterator[NDArray]:
    """For each runner milliseconds (turns, 1 + AT_ONCE): after a pause, then at once."""
    times = np.zeros((len(runners), options.warmup + options.repeats, 1 + AT_ONCE))
    for turn in range(times.shape[1]):
        for runner, kept in zip(runners, times[:, turn], strict=True):
            time.sleep(PAUSE)
            for place in range(len(kept)):
                start = time.perf_counter()
                runner.decide(observation)
                kept[place] = 1000 * (time.perf_counter() - start)
    yield from times[:, options.warmup :]


def measure_network(name: str, folder: Path, options: argparse.Namespace) -> list[Row]:
    """All rows of a network."""
    torch.manual_seed(0)
    folder.mkdir()
    student = write_student(folder, name)
    shapes = {
        key: tuple(f.shape) for key, f in load_from_spec(PolicySpec("", str(student))).config.input_features.items()
    }
    dataset = write_dataset(folder / "data", {**shapes, "action": (26,)})
    folders = export_all(folder, student, dataset, options)
    random = np.random.default_rng(0)
    observation = {key: random.uniform(-1, 1, shape).astype(np.float32) for key, shape in shapes.items()}
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        speed = bandwidth("cpu")
        runners = [torch_runner(student, "torch eager", precision) for precision in options.precisions]
        if not options.skip_compiled:
            compiled = {"compile_model": "true", "compile_mode": "default"}
            runners.append(torch_runner(student, "torch compiled", "float32", **compiled))
        runners += [exported_runner(path, threads) for path in folders]
        for runner, times in zip(runners, time_in_turns(runners, observation, options), strict=True):
            rows.append(
                Row(
                    network=name,
                    threads=threads,
                    engine=runner.engine,
                    precision=runner.precision,
                    median_ms=float(np.median(times[:, 0])),
                    p95_ms=float(np.percentile(times[:, 0], 95)),
                    at_once_ms=float(np.median(times[:, 1:])),
                    megabytes=runner.bytes / 1e6,
                    floor_ms=runner.bytes / speed,
                    largest_error=runner.largest_error,
                )
            )
    return rows


def table(rows: Iterable[Row]) -> str:
    """All rows, in Markdown."""
    header = ("network", "threads", "engine", "precision", "median, ms", "p95, ms", "at once, ms", "weights, MB")
    lines = [(*header, "floor, ms", "times the floor")]
    for row in rows:
        times = (f"{ms:.2f}" for ms in (row.median_ms, row.p95_ms, row.at_once_ms))
        reading = (f"{row.megabytes:.1f}", f"{row.floor_ms:.2f}", f"{row.median_ms / row.floor_ms:.1f}")
        lines.append((row.network, str(row.threads), row.engine, row.precision, *times, *reading))
    return tables.markdown(lines)


def overview(rows: Iterable[Row]) -> str:
    """One row for each network, on one thread: milliseconds after a pause, in brackets at once."""
    found = {(row.network, row.engine, row.precision): row for row in rows if row.threads == 1}
    lines = [("network", *SHOWN, "floor, float32")]
    for network, name in NAMES.items():
        shown = (found[network, *engine] for engine in SHOWN.values())
        times = (f"{row.median_ms:.1f} ({row.at_once_ms:.1f})" for row in shown)
        lines.append((name, *times, f"{found[network, *FLOOR].floor_ms:.1f}"))
    return tables.markdown(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--formats", nargs="+", default=["onnx", "openvino"], choices=["onnx", "openvino", "torch"])
    parser.add_argument("--precisions", nargs="+", default=["float32", "int8"], choices=["float32", "int8"])
    parser.add_argument("--skip-compiled", action="store_true", help="without compiled torch, which takes minutes")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--warmup", type=int, default=5)
    parser.add_argument("--output", type=Path, required=True, help="JSON file; the table goes beside it, as .md")
    options = parser.parse_args()
    refuse_existing("--output", options.output)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.networks:
            rows += measure_network(name, Path(scratch) / name, options)
    settings = {name: str(value) for name, value in vars(options).items()}
    packages = ("lerobot_policy_sdm", "torch", "numpy", "onnxruntime", "openvino")
    told = {"options": settings, "machine": machine(), "versions": versions(packages)}
    write_json(options.output, {**told, "rows": [asdict(row) for row in rows]})
    write_text(options.output.with_suffix(".md"), table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
