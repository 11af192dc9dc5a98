"""The sampler against diffusers' own DDIM, step for step, and against an exactly solvable case."""

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from lerobot_sdm.diffusion.samplers import ddim_sample
from lerobot_sdm.diffusion.schedules import alphas_cumprod, ddim_timesteps


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("clip", [True, False])
def test_equals_diffusers(spacing, steps, clip):
    torch.manual_seed(0)
    weight = torch.randn(3, 3)

    def denoise(x, t):
        return torch.tanh(x @ weight) * 1.5 + t.view(-1, 1, 1) / 200

    scheduler = DDIMScheduler(
        num_train_timesteps=100,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        clip_sample=clip,
        set_alpha_to_one=True,
        steps_offset=0,
        timestep_spacing=spacing,
    )
    scheduler.set_timesteps(steps)
    noise = torch.randn(5, 4, 3)
    expected = noise
    for t in scheduler.timesteps:
        expected = scheduler.step(denoise(expected, t.expand(5)), t, expected).prev_sample

    timesteps = ddim_timesteps(100, steps, spacing)
    assert timesteps == scheduler.timesteps.tolist()
    sampled = ddim_sample(denoise, noise, timesteps, alphas_cumprod(100), clip=1.0 if clip else None)
    torch.testing.assert_close(sampled, expected, atol=2e-5, rtol=1e-5)


def test_gaussian_data_keep_their_moments():
    """For x_0 ~ N(m, s^2) the exact denoiser is linear, and many DDIM steps carry N(0, 1) onto N(m, s^2)."""
    mean, std = 0.3, 0.2
    schedule = alphas_cumprod(100)

    def denoise(x, t):
        a = schedule[t].view(-1, 1, 1)
        return mean + (a.sqrt() * std**2 / (a * std**2 + 1 - a)) * (x - a.sqrt() * mean)

    torch.manual_seed(0)
    samples = ddim_sample(denoise, torch.randn(20000, 1, 1), ddim_timesteps(100, 100), schedule, clip=None)
    assert samples.mean().item() == pytest.approx(mean, abs=0.01)
    assert samples.std().item() == pytest.approx(std, rel=0.05)


def test_one_step_reads_out_the_conditional_mean():
    read_out = ddim_sample(lambda x, t: torch.zeros_like(x) + 0.5, torch.randn(4, 2, 2), [99], alphas_cumprod(100))
    assert torch.equal(read_out, torch.full((4, 2, 2), 0.5))
