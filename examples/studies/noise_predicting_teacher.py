"""Where should a one-step generator start that is a copy of a teacher which predicts noise?

A toy with two ways to act: chunks of 8 actions that pass an obstacle on one side (30%) or the other. LeRobot's
diffusion network is trained on it, once to predict noise and once to predict clean actions. For several timesteps the
script prints how far the one-step read-out is from the teacher's own samples, before any distillation and after a
short regression on them (docs/distillation.md, "Teachers that predict noise").

    python examples/studies/noise_predicting_teacher.py
"""

from copy import deepcopy
from typing import Annotated

import torch
import typer
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE
from torch import Tensor
from tqdm import trange

from lerobot_sdm.diffusion.broadcasting import same_timestep
from lerobot_sdm.diffusion.distance import regression_loss
from lerobot_sdm.diffusion.predictions import amplification
from lerobot_sdm.measure.distances import energy_distance, paired_rms
from lerobot_sdm.nets.backbone import Backbone
from lerobot_sdm.policies.source.adapters import adapter_for

HORIZON, BATCH = 8, 128
CONDITIONS, SAMPLES = 32, 64
READ_OUTS = (99, 97, 95, 91, 80, 70, 60, 50)
STARTS = {"epsilon": (99, 91, 70, 50), "sample": (99, 70)}


def chunks(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What is seen, (count, 2), and a chunk of actions, (count, 8, 2): forward, and to one of two sides."""
    seen = torch.rand(count, 2, generator=generator) * 2 - 1
    side = (torch.rand(count, generator=generator) < 0.3).float() * 2 - 1
    time = torch.linspace(0, 1, HORIZON)
    forward = 0.5 * seen[:, :1] + 0.5 * time - 0.25
    sideways = 0.6 * side[:, None] * torch.sin(torch.pi * time) + 0.2 * seen[:, 1:]
    actions = torch.stack([forward, sideways], dim=-1)
    return seen, actions + 0.03 * torch.randn(actions.shape, generator=generator)


def observations(seen: Tensor) -> dict[str, Tensor]:
    frames = seen[:, None].expand(-1, 2, -1)
    return {OBS_STATE: frames, OBS_ENV_STATE: frames}


def new_network(prediction_type: str) -> Backbone:
    config = DiffusionConfig(
        device="cpu",
        horizon=HORIZON,
        n_action_steps=4,
        down_dims=(32, 64),
        diffusion_step_embed_dim=32,
        prediction_type=prediction_type,
        num_inference_steps=10,
        input_features={
            OBS_STATE: PolicyFeature(FeatureType.STATE, (2,)),
            OBS_ENV_STATE: PolicyFeature(FeatureType.ENV, (2,)),
        },
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (2,))},
    )
    return adapter_for("diffusion").network(config)


def train_teacher(prediction_type: str, steps: int) -> Backbone:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = new_network(prediction_type)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, betas=(0.95, 0.999))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in trange(steps, desc=f"teacher ({prediction_type})"):
        seen, actions = chunks(BATCH, generator)
        t = torch.randint(network.num_train_timesteps, (BATCH,), generator=generator)
        noise = torch.randn(actions.shape, generator=generator)
        network.denoising_loss(actions, noise, t, network.encode(observations(seen))).mean().backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return network.eval().requires_grad_(False)


class Exam:
    """Start noise, conditions and the teacher's samples that all generators are held against."""

    def __init__(self, teacher: Backbone):
        generator = torch.Generator().manual_seed(1)
        self.cond = teacher.encode(observations(chunks(CONDITIONS, generator)[0])).repeat_interleave(SAMPLES, 0)
        self.noise, self.other_noise = torch.randn(2, len(self.cond), *teacher.action_shape, generator=generator)
        self.reference = self._by_condition(teacher.sample(self.noise, self.cond))

    def measure(self, generator: Backbone, t: int) -> str:
        """Two columns: error from the same start noise, and energy distance from other start noise."""
        with torch.no_grad():
            same, other = (
                self._by_condition(read_out(generator, noise, self.cond, t)) for noise in (self.noise, self.other_noise)
            )
        error = paired_rms(same, self.reference).square().mean().sqrt()
        return f"{error:.3f} | {energy_distance(other, self.reference).mean():.3f}"

    def _by_condition(self, actions: Tensor) -> Tensor:
        return actions.reshape(CONDITIONS, SAMPLES, -1)


def read_out(generator: Backbone, noise: Tensor, cond: Tensor, t: int) -> Tensor:
    """The generator's actions (B, T, A) as `sdm` has them: at one timestep, clipped."""
    return generator.denoise(noise, same_timestep(t, noise), cond).x0.clamp(-1, 1)


def regress(teacher: Backbone, t: int, steps: int) -> Backbone:
    """A copy of the teacher, trained at one timestep on 2048 of its samples as `sdm`'s warm-up does."""
    generator = torch.Generator().manual_seed(5)
    cond = teacher.encode(observations(chunks(2048, generator)[0]))
    noise = torch.randn(2048, *teacher.action_shape, generator=generator)
    target = teacher.sample(noise, cond)
    student = deepcopy(teacher)
    student.denoiser.requires_grad_(True)
    optimizer = torch.optim.AdamW(student.denoiser.parameters(), 5e-4, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in trange(steps, desc=f"regression at t = {t}"):
        chosen = torch.randint(2048, (BATCH,), generator=generator)
        starts = noise[chosen]
        actions = student.denoise(starts, same_timestep(t, starts), cond[chosen]).x0
        regression_loss(actions, target[chosen], 0.03).backward()
        torch.nn.utils.clip_grad_norm_(student.denoiser.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return student


def main(
    teacher_steps: Annotated[int, typer.Option(help="Training steps of each teacher.")] = 2000,
    steps: Annotated[int, typer.Option(help="Steps of each regression.")] = 300,
) -> None:
    """Print a table for each kind of teacher."""
    for prediction_type, starts in STARTS.items():
        teacher = train_teacher(prediction_type, teacher_steps)
        exam = Exam(teacher)
        print(f"\n### predicts {prediction_type}\n")
        print("| t | amplification | error, untrained | energy | error, trained | energy |")
        print("|---|---:|---:|---:|---:|---:|")
        for t in READ_OUTS:
            trained = exam.measure(regress(teacher, t, steps), t) if t in starts else " | "
            times = amplification(teacher.alphas_cumprod[t]).item()
            print(f"| {t} | {times:.1f} | {exam.measure(teacher, t)} | {trained} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
