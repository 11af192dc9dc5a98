"""How fast a zarr store becomes a LeRobot dataset, in how much memory, and how fast training then reads it.

    python examples/benchmarks/convert.py                    # a synthetic store
    python examples/benchmarks/convert.py pusht.zarr --workers=2

The plain loop is what a conversion script does: decode each array whole, `add_frame` each frame, `save_episode`.
Conversion includes checking the store and reading the dataset back. Every row is a process of its own; its peak
memory is the largest sum over it and its workers, pages that they share counted once. `memory over time` are the
means of the fifths of the run: flat if the last are no larger than those in the middle.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import zarr

INTERVAL = 0.2


def write_synthetic(path: Path, episodes: int, frames: int) -> None:
    """A store in the shapes of DP3's MetaWorld demonstrations, without pictures."""
    rng = np.random.default_rng(0)
    total = episodes * frames
    root = zarr.create_group(path, zarr_format=2)
    root.create_array("meta/episode_ends", data=np.arange(1, episodes + 1) * frames)
    for name, shape in (("state", (9,)), ("action", (4,)), ("point_cloud", (1024, 6))):
        chunks = (100, *shape)
        array = root.create_array(f"data/{name}", shape=(total, *shape), chunks=chunks, dtype="f4", fill_value=0)
        for start in range(0, total, frames):
            array[start : start + frames] = rng.random((frames, *shape), dtype=np.float32)


def plain_loop(source: Path, root: Path) -> None:
    """Convert as scripts do it, with the columns that `lerobot-sdm convert` finds."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from lerobot_sdm.datasets.convert.run import ConvertConfig, make_plan

    plan = make_plan(ConvertConfig(source, fps=10))
    readers = plan.readers()
    whole = {column.key: column.read(readers, 0, plan.frames) for column in plan.columns}
    dataset = LeRobotDataset.create("local/plain", plan.fps, plan.features(), root=root, use_videos=False)
    for episode in range(len(plan.ends)):
        for row in range(*plan.span(episode)):
            dataset.add_frame({**{key: values[row] for key, values in whole.items()}, "task": plan.task})
        dataset.save_episode()
    dataset.finalize()


def measure(command: list[str]) -> tuple[float, float, list[float]]:
    """Run a command: seconds, seconds of CPU time, and memory in MB, of it and its children, sampled all the while."""
    started = time.perf_counter()
    cpu: dict[int, float] = {}
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115  (a pipe that nobody reads would stop the command)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
    parent, samples = psutil.Process(process.pid), []
    while process.poll() is None:
        try:
            family = [parent, *parent.children(recursive=True)]
            cpu |= {member.pid: sum(member.cpu_times()[:2]) for member in family}
            samples.append(sum(member.memory_full_info().pss for member in family) / 1e6)
        except psutil.Error:
            pass  # one of them has just ended
        time.sleep(INTERVAL)
    if process.returncode:
        said.seek(0)
        raise SystemExit(said.read())
    return time.perf_counter() - started, sum(cpu.values()), samples


def report(label: str, frames: int, files: Path, seconds: float, cpu: float, samples: list[float]) -> None:
    """Print one row."""
    size = sum(file.stat().st_size for file in files.rglob("*") if file.is_file()) / 1e6
    fifths = " ".join(f"{np.mean(part):.0f}" for part in np.array_split(samples, 5))
    print(f"{label:24} {frames / seconds:9.0f} {seconds:8.1f} {cpu:8.1f} {max(samples):9.0f} {size:9.1f}   {fifths}")


def loading(root: Path, batch_size: int, horizon: int, seconds: float) -> None:
    """Print how fast DP3's samples are read: by LeRobot, from memory, and by a bare numpy gather."""
    from data_loading import batches_of, gathers_of, samples_per_second
    from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from lerobot_sdm.datasets.cached import CachedLeRobotDataset

    meta = LeRobotDatasetMetadata("local/converted", root)
    observed = [-1 / meta.fps, 0.0]
    keys = [key for key in ("observation.state", "observation.point_cloud") if key in meta.features]
    windows = {key: observed for key in keys} | {"action": [step / meta.fps for step in range(-1, horizon - 1)]}
    options = {"root": root, "delta_timestamps": windows, "video_backend": "pyav"}
    stock = LeRobotDataset("local/converted", **options)
    cached = CachedLeRobotDataset("local/converted", **options)
    streams = {
        "LeRobot's reader": lambda: batches_of(stock, batch_size),
        "in memory": lambda: batches_of(cached, batch_size),
        "numpy gather": lambda: gathers_of(stock, horizon, batch_size, list(windows)),
    }
    for label, stream in streams.items():
        print(f"{label:24} {samples_per_second(stream, seconds):12,.0f} samples/s, horizon {horizon}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", help="a store; a synthetic one unless given")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--episodes", type=int, default=20, help="of the synthetic store, 200 frames each")
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement of loading")
    parser.add_argument("--plain-to", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain_to is not None:
        plain_loop(options.source, options.plain_to)
        return

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("lerobot", "datasets", "pyarrow", "zarr", "numpy")))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = options.source
        if source is None:
            source = folder / "synthetic.zarr"
            write_synthetic(source, options.episodes, 200)
        frames = int(zarr.open_array(source / "meta/episode_ends", mode="r")[-1])
        print(
            f"{'':24} {'frames/s':>9} {'seconds':>8} {'CPU s':>8} {'peak MB':>9} {'files MB':>9}   memory over time, MB"
        )
        plain = [sys.executable, __file__, str(source), "--plain-to", str(folder / "plain")]
        report("plain loop of add_frame", frames, folder / "plain", *measure(plain))
        for workers in sorted({1, options.workers}):
            root = folder / f"converted-{workers}"
            command = [
                Path(sys.executable).with_name("lerobot-sdm"),
                "convert",
                source,
                "--fps=10",
                f"--root={root}",
                f"--workers={workers}",
            ]
            report(f"convert, {workers} workers", frames, root, *measure([str(part) for part in command]))
        loading(folder / "converted-1", 128, 16, options.seconds)


if __name__ == "__main__":
    main()
