"""How conversion and the start of training grow with the number of episodes: processor time and memory.

    python examples/benchmarks/many_episodes.py --json=many.json --plot=docs/many_episodes.png

Each store has so many episodes of 10 frames: actions of 4, states of 7, clouds of 64 points. It is converted by one
process; then `lerobot-train` takes one step on the dataset, once as LeRobot's reader has never seen it and once more.
Everything runs in this process, after a first round that is not counted, so that imports are left out. Memory is the
largest that the process has had so far: flat if it stays where the small stores have brought it.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import zarr

FRAMES, POINTS = 10, 64
ROWS_AT_ONCE = 100_000
SMALL_POLICY = (
    *("--policy.type=dp3", "--policy.down_dims=[8,16,16]", "--policy.blocks_per_level=1", "--policy.horizon=8"),
    *("--policy.encoder_hidden_dims=[8,16]", "--policy.diffusion_step_embed_dim=16", "--policy.n_action_steps=4"),
    *("--policy.device=cpu", "--policy.push_to_hub=false", "--batch_size=32", "--num_workers=0", "--steps=1"),
    *("--env_eval_freq=0", "--save_checkpoint=false"),
)
STAGES = {"convert": "conversion", "first": "one step of training, first time", "again": "one step of training, again"}
Found = dict[str, dict[str, float]]


def write_store(path: Path, episodes: int) -> None:
    """A store of many short episodes of random numbers."""
    rng = np.random.default_rng(0)
    rows = episodes * FRAMES
    root = zarr.create_group(path, zarr_format=2)
    for name, shape in (("action", (4,)), ("state", (7,)), ("point_cloud", (POINTS, 3))):
        array = root.create_array(f"data/{name}", shape=(rows, *shape), chunks=(1000, *shape), dtype="f4")
        for start in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - start)
            array[start : start + count] = rng.random((count, *shape), dtype=np.float32)
    root.create_array("meta/episode_ends", data=np.arange(1, episodes + 1) * FRAMES)


def train(root: Path, output: Path) -> None:
    """One step of LeRobot's own training."""
    from lerobot.scripts.lerobot_train import main as lerobot_train

    arguments = [*SMALL_POLICY, "--dataset.repo_id=local/many", f"--dataset.root={root}", f"--output_dir={output}"]
    sys.argv = ["lerobot-train", *arguments]
    with contextlib.redirect_stderr(io.StringIO()):
        lerobot_train()


def measure(run: Callable[[], object]) -> dict[str, float]:
    """Processor time, wall time in seconds, and the process's peak memory so far in MB."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"cpu": time.process_time() - cpu, "seconds": time.perf_counter() - wall, "peak": peak}


def measurements(episodes: int, folder: Path) -> Found:
    """What each stage takes."""
    from lerobot_sdm.datasets.convert.run import ConvertConfig, convert

    source, converted, root = folder / "store.zarr", folder / "converted", folder / "dataset"
    write_store(source, episodes)
    with contextlib.redirect_stderr(io.StringIO()):
        found = {"convert": measure(lambda: convert(ConvertConfig(source, root=converted, fps=10)))}
    # Reading back has filled the cache of LeRobot's reader, which knows a dataset by its place.
    shutil.move(converted, root)
    for stage in ("first", "again"):
        found[stage] = measure(lambda stage=stage: train(root, folder / stage))
    return found


def plot(found: dict[int, Found], path: Path) -> None:
    """Processor time and peak memory over the number of episodes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    counts = list(found)
    for stage, title in STAGES.items():
        left.plot(counts, [found[count][stage]["cpu"] for count in counts], "o-", label=title)
    right.plot(counts, [found[count]["convert"]["peak"] for count in counts], "o-", label="after conversion")
    left.set(xscale="log", yscale="log", ylabel="processor time, s")
    highest = max(found[count]["convert"]["peak"] for count in counts)
    right.set(xscale="log", ylabel="peak memory, MB", ylim=(0, 1.2 * highest))
    for axis in (left, right):
        axis.set_xlabel(f"episodes of {FRAMES} frames")
        axis.set_xticks(counts, [f"{count:,}" for count in counts])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    found: dict[int, Found] = {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_HOME"] = str(Path(scratch) / "cache")
        for number, episodes in enumerate([options.episodes[0], *options.episodes]):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            measured = measurements(episodes, folder)
            shutil.rmtree(folder)
            if number == 0:
                continue
            found[episodes] = measured
            for stage, values in measured.items():
                told = f"{values['cpu']:8.1f} s CPU {values['seconds']:8.1f} s {values['peak']:8.0f} MB"
                print(f"{episodes:7} {STAGES[stage]:34} {told}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(found))
    if options.plot is not None:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
