"""What each part of a recipe of `sdm` is worth where the answer is known, under an equal budget of time.

    python examples/studies/sdm_recipes.py --output=outputs/sdm_recipes

Every row is trained from the same teacher for as many iterations as fit into the budget on one thread, and compared
with the true distribution; see gaussian_mixture.py. What an iteration costs is measured first, with all rows taking
turns, so that other programs on the machine slow all of them alike. Finished rows are kept; an interrupted study goes
on with the next.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from gaussian_mixture import measure
from mixture_sdm import Parts, Student
from mixture_training import Mixture, Net, Run, Size, ddim
from torch import Tensor
from tqdm import tqdm

DMD = Parts(warmup=0.2, matching=1.0)
SDM = Parts(data=1.0)
ROWS = {
    "regression": Parts(warmup=1.0),
    "regression, half the learning rate": Parts(warmup=1.0, lr=1e-3),
    "sdm: then also the energy score": SDM,
    "sdm, warm-up of 10%": replace(SDM, warmup=0.1),
    "sdm, warm-up of 70%": replace(SDM, warmup=0.7),
    "sdm, four samples": replace(SDM, data_samples=4),
    "sdm, energy score times 3": replace(SDM, data=3.0),
    "sdm, no regression after the warm-up": replace(SDM, regression=0.0),
    "sdm, energy score alone": replace(SDM, regression=0.0, warmup=0.0),
    "sdm and score matching": replace(SDM, matching=1.0),
    "dmd: regression and score matching": DMD,
    "dmd, critic starts cold": replace(DMD, critic_lead=0.0),
    "dmd, critic a tenth as fast": replace(DMD, critic_lr=5e-5),
    "dmd, critic twice as fast": replace(DMD, critic_lr=1e-3),
    "dmd, EMA critic": replace(DMD, critic_average=True),
    "dmd, four noise levels per sample": replace(DMD, levels_per_sample=4),
    "dmd, regression annealed to 0": replace(DMD, anneal=True),
    "dmd, floor 0.1": replace(DMD, floor=0.1),
    "dmd, high noise first": replace(DMD, falling=True),
    "dmd, generator every second iteration": replace(DMD, ratio=2),
    "score matching alone": replace(DMD, warmup=0.0, critic_lead=0.0, regression=0.0),
    "sdm_paper": Parts(
        warmup=0.0, regression=0.0, matching=1.0, weighting="released", floor=0.0, levels=10, lr=5e-4, start=99
    ),
}
"""Learning rates are those of this small network; `sdm_paper` keeps the paper's ratio of the two rates, 1."""


def iterations(run: Run, teacher: Net, seconds: float, turns: int = 40) -> dict[str, int]:
    """How many iterations of each row take the given time: from the median costs within its warm-up and after it."""
    students = {(name, share): Student(run, teacher, parts) for name, parts in ROWS.items() for share in (0.0, 0.99)}
    times: dict[tuple[str, float], list[float]] = {key: [] for key in students}
    for _ in tqdm(range(turns), "measuring iterations"):
        for (name, share), student in students.items():
            begin = time.perf_counter()
            for _ in range(8):  # The teacher samples in one of eight.
                student.iterate(share)
                student.step += 1
            times[name, share].append((time.perf_counter() - begin) / 8)
    cost = {key: float(np.median(found)) for key, found in times.items()}
    return {
        name: round(seconds / (parts.warmup * cost[name, 0.0] + (1 - parts.warmup) * cost[name, 0.99]))
        for name, parts in ROWS.items()
    }


def row(name: str, run: Run, teacher: Net, steps: int) -> dict[str, float]:
    """Train one row and measure it."""
    for generator in (run.random, torch.default_generator):
        generator.manual_seed(run.seed)
    parts = replace(ROWS[name], steps=steps)
    student = Student(run, teacher, parts)
    net = student.train().requires_grad_(False)

    def sample(noise: Tensor, cond: Tensor) -> Tensor:
        return net(noise, torch.full((len(noise),), parts.start), cond=cond)

    return measure(run.mixture, run.size, sample) | {"iterations": steps, "updates": student.turns}


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: mean and range over seeds, in the order of the rows."""
    lines = [
        "| | generator updates | energy distance to the truth | between modes | error of shares |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in [name for name in ("teacher, 10 steps", *ROWS) if name in results]:
        found = results[name]
        energy, between, shares = (
            np.array([item[key] for item in found]) for key in ("energy", "between", "share_error")
        )
        updates = f"{np.mean([item['updates'] for item in found]):,.0f}" if "updates" in found[0] else ""
        lines.append(
            f"| {name} | {updates} | {energy.mean():.3f} ({energy.min():.3f} to {energy.max():.3f}) | "
            f"{between.mean():.3f} | {shares.mean():.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("outputs/sdm_recipes"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=10.0, help="Time of each training.")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    file = options.output / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    steps_file = options.output / "iterations.json"
    for seed in options.seeds:
        folder = options.output / f"seed_{seed}"
        folder.mkdir(exist_ok=True)
        run = Run(Mixture(0), Size(), seed, folder)
        teacher = run.kept("teacher", run.teacher)
        if not steps_file.exists():
            found = {"seconds": options.seconds, "steps": iterations(run, teacher, options.seconds)}
            steps_file.write_text(json.dumps(found))
        known = json.loads(steps_file.read_text())
        if known["seconds"] != options.seconds:
            sys.exit(f"--seconds={options.seconds}: {options.output} has {known['seconds']}. Give another.")
        steps = known["steps"]
        for name in ("teacher, 10 steps", *options.rows):
            done = results.setdefault(name, [])
            if any(item["seed"] == seed for item in done):
                continue
            if name in ROWS:
                found = row(name, run, teacher, steps[name])
            else:
                found = measure(run.mixture, run.size, partial(ddim, teacher))
            found.pop("positions")
            done.append(found | {"seed": seed})
            file.write_text(json.dumps(results, indent=1))
            (options.output / "table.md").write_text(table(results) + "\n")
            print(f"seed {seed}, {name}: {found['energy']:.4f}", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
