"""How conversion and the start of training grow with the number of episodes: processor time and memory.

    python examples/benchmarks/many_episodes.py --json=many.json --plot=docs/many_episodes.png

Each store has so many episodes of 10 frames: actions of 4, states of 7, clouds of 64 points. It is converted with one
worker; then `lerobot-train` takes one step on the dataset, once with an empty cache of LeRobot's reader and once more.
Each measurement is a process of its own, so that it includes the imports, which are all there is at the left end.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import zarr
from convert import measure

FRAMES, POINTS = 10, 64
ROWS_AT_ONCE = 100_000
SMALL_POLICY = (
    *("--policy.type=dp3", "--policy.down_dims=[8,16,16]", "--policy.blocks_per_level=1", "--policy.horizon=8"),
    *("--policy.encoder_hidden_dims=[8,16]", "--policy.diffusion_step_embed_dim=16", "--policy.n_action_steps=4"),
    *("--policy.device=cpu", "--policy.push_to_hub=false", "--batch_size=32", "--num_workers=0", "--steps=1"),
    *("--env_eval_freq=0", "--save_checkpoint=false"),
)
STAGES = {"convert": "conversion", "first": "one step of training, first time", "again": "one step of training, again"}


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


def measurements(episodes: int, folder: Path) -> dict[str, dict[str, float]]:
    """Processor time in seconds and peak memory in MB of each stage."""
    source, root = folder / "store.zarr", folder / "dataset"
    write_store(source, episodes)
    scripts = Path(sys.executable).parent
    os.environ["HF_HOME"] = str(folder / "cache")
    convert = [scripts / "lerobot-sdm", "convert", source, "--fps=10", f"--root={root}", "--workers=1"]
    train = [scripts / "lerobot-train", *SMALL_POLICY, "--dataset.repo_id=local/many", f"--dataset.root={root}"]
    commands = {
        "convert": convert,
        "first": [*train, f"--output_dir={folder / 'first'}"],
        "again": [*train, f"--output_dir={folder / 'again'}"],
    }
    found = {}
    for stage, command in commands.items():
        if stage == "first":
            # Reading the dataset back has filled the cache of LeRobot's reader.
            os.environ["HF_HOME"] = str(folder / "empty cache")
        seconds, cpu, samples = measure([str(part) for part in command])
        found[stage] = {"seconds": seconds, "cpu": cpu, "peak": max(samples)}
        print(f"{episodes:7} {STAGES[stage]:34} {cpu:8.1f} s CPU {max(samples):8.0f} MB {seconds:8.1f} s", flush=True)
    return found


def plot(found: dict[int, dict[str, dict[str, float]]], path: Path) -> None:
    """Processor time and peak memory over the number of episodes."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    counts = list(found)
    for axis, (name, label) in zip(axes, {"cpu": "processor time, s", "peak": "peak memory, MB"}.items(), strict=True):
        for stage, title in STAGES.items():
            axis.plot(counts, [found[count][stage][name] for count in counts], "o-", label=title)
        axis.set(xscale="log", xlabel=f"episodes of {FRAMES} frames", ylabel=label)
        axis.set_ylim(bottom=0)
        axis.set_xticks(counts, [f"{count:,}" for count in counts])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set(yscale="log", ylim=(1, None))
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    found = {}
    for episodes in options.episodes:
        with tempfile.TemporaryDirectory() as scratch:
            found[episodes] = measurements(episodes, Path(scratch))
        if options.json is not None:
            options.json.write_text(json.dumps(found))
    if options.plot is not None:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
