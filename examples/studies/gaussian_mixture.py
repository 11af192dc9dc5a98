"""One-step distillation where the answer is known: a mixture of two Gaussians that depends on a condition.

    python examples/studies/gaussian_mixture.py --output=outputs/gaussian_mixture

Two teachers learn it from samples: one under DP3's variance-preserving schedule, for SDM and ManiCM, and one in Karras'
form, for consistency trajectory models (CTM). Students are trained with this package's own losses. All are compared
with the true distribution, whose score is known in closed form. An interrupted study goes on with its next training.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from mixture_sdm import Parts, Student
from mixture_training import ALPHA_BAR, START, Mixture, Net, Run, Size, chain, ddim, edm_denoise, heun
from torch import Tensor

from lerobot_sdm.diffusion.consistency_distillation import consistency_sample, inference_timesteps
from lerobot_sdm.diffusion.schedules import ddim_timesteps
from lerobot_sdm.files import write_json
from lerobot_sdm.measure.distances import energy_distance
from lerobot_sdm.measure.records import machine, source_commit, versions

Sampler = Callable[[Tensor, Tensor], Tensor]
"""(start noise (B, T, A), condition (B, COND)) -> samples (B, T, A)."""

PARTS = {
    "regression": Parts(warmup=1.0),
    "sdm": Parts(data=1.0),
    "dmd": Parts(warmup=0.2, matching=1.0),
}
"""Three recipes of SDM."""
MANICM_LEVELS = ddim_timesteps(100, 10)
CTM_BINS = (7, 13)
"""A third and two thirds of the way, as 27 and 54 of 80."""
SHOWN = ("truth", "teacher, DDIM", f"teacher, one step at t = {START}", "SDM", "ManiCM", "EDM teacher, Heun",
         "CTM", "CTM, 3 steps", "CTM, start noise 1", "CTM, denoising by the jump")  # fmt: skip


def samplers(run: Run) -> dict[str, tuple[int, Sampler]]:
    """Train everything: name -> (network evaluations, sampler)."""
    mixture = run.mixture

    def perfect(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return mixture.posterior_mean(x, cond, ALPHA_BAR[t].sqrt(), (1 - ALPHA_BAR[t]).sqrt())

    def perfect_edm(x: Tensor, sigma: Tensor, cond: Tensor) -> Tensor:
        return mixture.posterior_mean(x, cond, torch.ones_like(sigma), sigma)

    edm = run.kept("edm", run.edm)
    learned_edm = partial(edm_denoise, edm)
    ctm = run.kept("ctm", lambda: run.ctm(edm), stop=True)
    released = run.kept("ctm_jump", lambda: run.ctm(edm, dsm_by="jump"), stop=True)
    teacher = run.kept("teacher", run.teacher)
    regression, sdm, dmd = (
        run.kept(name, Student(run, teacher, replace(PARTS[name], steps=run.size.sdm)).train) for name in PARTS
    )
    manicm = run.kept("manicm", lambda: run.manicm(teacher, MANICM_LEVELS))

    def generate(net: Net, noise: Tensor, cond: Tensor) -> Tensor:
        return net(noise, torch.full((len(noise),), START), cond=cond)

    def jump_to_the_end(noise: Tensor, cond: Tensor, steps: int) -> Tensor:
        times = inference_timesteps(MANICM_LEVELS, steps)
        return consistency_sample(partial(manicm, cond=cond), noise, times, ALPHA_BAR, clip=None)

    return {
        "perfect denoiser, DDIM": (10, partial(ddim, perfect)),
        "teacher, DDIM": (10, partial(ddim, teacher)),
        "teacher, one step at t = 99": (1, partial(ddim, teacher, steps=1)),
        f"teacher, one step at t = {START}": (1, partial(ddim, teacher, steps=1, start=START)),
        "regression": (1, partial(generate, regression)),
        "SDM": (1, partial(generate, sdm)),
        "DMD": (1, partial(generate, dmd)),
        "ManiCM": (1, partial(jump_to_the_end, steps=1)),
        "ManiCM, 4 steps": (4, partial(jump_to_the_end, steps=4)),
        "perfect denoiser, Heun": (158, partial(heun, perfect_edm, steps=79)),
        "EDM teacher, Heun": (158, partial(heun, learned_edm, steps=79)),
        "EDM teacher, Heun, 5 steps": (10, partial(heun, learned_edm, steps=5)),
        "EDM teacher, Heun, start noise 1": (158, partial(heun, learned_edm, steps=79, std=1.0)),
        "CTM": (1, partial(chain, ctm)),
        "CTM, 3 steps": (3, partial(chain, ctm, bins=CTM_BINS)),
        "CTM, start noise 1": (1, partial(chain, ctm, std=1.0)),
        "CTM, denoising by the jump": (1, partial(chain, released)),
        "CTM, denoising by the jump, 3 steps": (3, partial(chain, released, bins=CTM_BINS)),
    }


@torch.no_grad()
def measure(mixture: Mixture, size: Size, sampler: Sampler) -> dict[str, float | list[float]]:
    """Compare a sampler with the truth, on conditions and start noise that are the same for all.

    Returns:
        `energy`: energy distance to the true conditional; `off_mode`: mean distance to the nearer mode; `both`: share
        of conditions where each mode gets more than a tenth of the samples; `between`: share of samples less than
        half-way from the middle to a mode; `share_error`: mean of |share of the first mode - 1/2|; `positions`: where
        samples lie along the line through the modes, which are at -1 and 1.
    """
    random = torch.Generator().manual_seed(12345)
    torch.manual_seed(12345)
    cond = torch.randn(size.conditions, mixture.cond_dim, generator=random).repeat_interleave(size.samples, 0)
    truth = mixture.sample(cond, random)
    samples = sampler(torch.randn(truth.shape, generator=random), cond)
    modes = mixture.modes(cond)
    distances = (samples.unsqueeze(1) - modes).flatten(2).norm(dim=2)
    middle, half = modes.mean(1).flatten(1), (modes[:, 0] - modes[:, 1]).flatten(1) / 2
    positions = ((samples.flatten(1) - middle) * half).sum(1) / half.square().sum(1)
    groups = (size.conditions, size.samples)
    first = (positions > 0).float().unflatten(0, groups).mean(1)
    energy = energy_distance(*(x.flatten(1).unflatten(0, groups) for x in (samples, truth)))
    return {
        "energy": energy.mean().item(),
        "off_mode": distances.min(1).values.mean().item(),
        "both": ((first > 0.1) & (first < 0.9)).float().mean().item(),
        "between": (positions.abs() < 0.5).float().mean().item(),
        "share_error": (first - 0.5).abs().mean().item(),
        "positions": positions[:: max(1, len(positions) // 4096)].tolist(),
    }


def study(size: Size, seed: int, folder: Path) -> dict[str, dict]:
    """All rows of one seed, the truth among them."""
    run, fresh = Run(Mixture(0), size, seed, folder), torch.Generator().manual_seed(54321)
    rows = {"truth": (0, lambda _, cond: run.mixture.sample(cond, fresh)), **samplers(run)}
    return {name: {"evaluations": count, **measure(run.mixture, size, row)} for name, (count, row) in rows.items()}


def table(results: list[dict[str, dict]]) -> str:
    """Markdown: means over seeds, with the range for the energy distance."""
    keys = {"energy": "energy distance", "off_mode": "off mode", "both": "both modes", "between": "between",
            "share_error": "error of shares"}  # fmt: skip
    lines = [f"| | network evaluations | {' | '.join(keys.values())} |", "|---|" + "---:|" * (len(keys) + 1)]
    for name, row in results[0].items():
        values = {key: np.array([result[name][key] for result in results]) for key in keys}
        energies = values.pop("energy")
        spread = f"{energies.mean():.3f} ({energies.min():.3f} to {energies.max():.3f})"
        rest = " | ".join(f"{column.mean():.2f}" for column in values.values())
        lines.append(f"| {name} | {row['evaluations'] or ''} | {spread} | {rest} |")
    return "\n".join(lines)


def without_positions(results: list[dict[str, dict]]) -> list[dict[str, dict]]:
    """All that the table needs, without the samples that the figure shows."""
    return [
        {name: {key: row[key] for key in row if key != "positions"} for name, row in rows.items()} for rows in results
    ]


def figure(results: list[dict[str, dict]], file: Path) -> None:
    """Where samples lie along the line through the modes, all seeds together."""
    panes, axes = plt.subplots(2, 5, figsize=(13, 4.6), sharex=True, sharey=True)
    bins = np.linspace(-1.6, 1.6, 81)
    for axis, name in zip(axes.flat, SHOWN, strict=True):
        positions = np.concatenate([result[name]["positions"] for result in results])
        axis.hist(positions, bins, density=True, color="#4477aa" if name != "truth" else "#999999")
        calls = results[0][name]["evaluations"]
        axis.set_title(name + (f"\n{calls} evaluation{'s' * (calls > 1)}" if calls else "\n"), fontsize=9)
        axis.set_ylim(0, 4)
        axis.set_xticks([-1, 0, 1], ["mode", "middle", "mode"])
    panes.tight_layout()
    panes.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("outputs/gaussian_mixture"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    results = []
    for seed in options.seeds:
        folder = options.output / f"seed_{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        results.append(study(Size(), seed, folder))
        print(table(results), flush=True)
    about = {"machine": machine(), "versions": versions(), "commit": source_commit()}
    write_json(options.output / "table.json", {"seeds": without_positions(results)} | about)
    (options.output / "table.md").write_text(table(results) + "\n")
    figure(results, options.output / "figure.png")


if __name__ == "__main__":
    main()
