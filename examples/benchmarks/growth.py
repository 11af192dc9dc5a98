"""How the cost of a decision and of training grows with horizon, width, number of points and batch size.

    python examples/benchmarks/growth.py --json=growth.json --plot=growth.png

Latency is what passes from raw observations to the first action of a new chunk, for a teacher with ten network
evaluations and its one-step student, exact, and for the student with LeRobot's U-Net. One size varies at a time, the
others stay at horizon 16, widths 128, 256, 384, 512 points, batch size 1. Training is a step of dp3 and an iteration of
sdm (the mean over its cycle; features of the frozen encoder known), by batch size and by network.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from inference import with_plain_unet
from random_policies import write_policies
from tqdm import tqdm
from training import CYCLE, DATASET, dp3_config, milliseconds, sdm_policy, step_of, training_batch

from lerobot_sdm.measure.latency import measure_parts
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

WIDTHS = ((32, 64, 128), (64, 128, 256), (128, 256, 384), (256, 512, 1024), (512, 1024, 2048))
ROWS = {"teacher, 10 steps": "C0", "student": "C1", "student, LeRobot's U-Net": "C7", "dp3": "C0", "sdm": "C1"}


@dataclass(frozen=True)
class Size:
    """What is measured."""

    horizon: int = 16
    widths: tuple[int, ...] = (128, 256, 384)
    points: int = 512
    batch: int = 1


LATENCY = {
    "horizon": [Size(horizon=horizon) for horizon in (4, 8, 16, 32, 64)],
    "width": [Size(widths=widths) for widths in WIDTHS],
    "points": [Size(points=points) for points in (128, 512, 1024, 2048, 4096)],
    "batch": [Size(batch=batch) for batch in (1, 4, 16, 64)],
}
TRAINING = {
    "batch": [Size(batch=batch, widths=(64, 128, 256)) for batch in (8, 32, 128, 256)],
    "width": [Size(batch=32, widths=widths) for widths in WIDTHS],
}


def shown(name: str, size: Size) -> int:
    """The number on a plot's axis; the first width stands for all of them."""
    value = {"horizon": size.horizon, "width": size.widths, "points": size.points, "batch": size.batch}[name]
    return value[0] if isinstance(value, tuple) else value


def latency(size: Size, device: str, repeats: int) -> dict[str, float]:
    """Medians in milliseconds, by row."""
    with tempfile.TemporaryDirectory() as scratch:
        config = dp3_config(size.horizon, device, size.points, down_dims=size.widths)
        found = write_policies(Path(scratch), ("sdm",), config)
        policies = [
            load_from_spec(PolicySpec(label, str(path), {}), device)
            for label, path in zip(list(ROWS)[:3], (found["dp3"], found["sdm"], found["sdm"]), strict=True)
        ]
        policies[2] = with_plain_unet(policies[2], policies[0].config)
        return {row.label: row.chunk_p50 for row in measure_parts(policies, repeats, 2, size.batch)}


def training(size: Size, device: str, repeats: int) -> dict[str, float]:
    """Samples per second, by policy type."""
    with tempfile.TemporaryDirectory() as scratch:
        config = dp3_config(size.horizon, device, size.points, down_dims=size.widths)
        teacher = write_policies(Path(scratch), ("dp3",), config)["dp3"]
        batch = training_batch(size.batch, size.horizon, device, size.points)
        with torch.device(device):
            policy = DP3Policy(config, dataset_meta=DATASET)
            student = sdm_policy(teacher, device, warmup_steps=0, regression_weight=0.0)
        dp3 = milliseconds(step_of(policy), batch, repeats, 1)
        sdm = milliseconds(step_of(student), batch, repeats, CYCLE)
    return {"dp3": 1000 * size.batch / dp3, "sdm": 1000 * size.batch / sdm}


def panels(found: list[dict]) -> Iterator[tuple[str, str, list[dict]]]:
    for kind in ("latency", "training"):
        for name in LATENCY if kind == "latency" else TRAINING:
            yield kind, name, [entry for entry in found if entry["kind"] == kind and entry["by"] == name]


def plot(found: list[dict], path: Path) -> None:
    """Six panels: latency by four sizes, training by two."""
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.5), constrained_layout=True)
    labels = {"width": "first width of the U-Net", "points": "points", "batch": "batch size", "horizon": "horizon"}
    for axis, (kind, name, entries) in zip(axes.flat, panels(found), strict=True):
        for row in entries[0]["values"]:
            axis.plot([e["at"] for e in entries], [e["values"][row] for e in entries], "o-", color=ROWS[row], label=row)
        axis.set(xscale="log", yscale="log", xlabel=labels[name])
        axis.set_ylabel("ms for a chunk" if kind == "latency" else "training: samples per second")
        axis.set_xticks([e["at"] for e in entries], [str(e["at"]) for e in entries], minor=False)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"{platform.machine()}, torch {torch.__version__}, {options.device}, {options.threads} thread(s)")
    measure = {
        "latency": partial(latency, device=options.device, repeats=options.repeats),
        "training": partial(training, device=options.device, repeats=max(2, options.repeats // 3)),
    }
    plan = [("latency", name, size) for name, sizes in LATENCY.items() for size in sizes]
    plan += [("training", name, size) for name, sizes in TRAINING.items() for size in sizes]
    found = []
    for kind, name, size in tqdm(plan):
        values = measure[kind](size)
        found.append({"kind": kind, "by": name, "at": shown(name, size), "values": values})
        tqdm.write(f"{kind} {name}={found[-1]['at']}: " + ", ".join(f"{k} {v:.1f}" for k, v in values.items()))
    if options.json is not None:
        settings = {name: str(value) for name, value in vars(options).items()}
        options.json.write_text(json.dumps({"options": settings, "rows": found}))
    if options.plot is not None:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
