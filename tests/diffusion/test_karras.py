"""Karras' noise levels, preconditioning and samplers against published values and closed forms."""

import math
from pathlib import Path

import pytest
import torch

from lerobot_sdm.diffusion.karras import (
    SAMPLERS,
    NoiseLevels,
    add_noise,
    denoise,
    denoising_loss,
    heun_step,
    log_normal_sigmas,
    preconditioning,
    sample,
    sampler_sigmas,
    sigma_of_bin,
)

DOCS = Path(__file__).parents[2] / "docs" / "consistency.md"
LEVELS = NoiseLevels()
PLAIN = NoiseLevels(boundary=False)
STD = 0.3
"""Standard deviation of the Gaussian data below."""


def gaussian_denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Posterior mean of data from N(0, STD^2)."""
    return STD**2 / (STD**2 + sigma.view(-1, 1, 1) ** 2) * x


def test_bins_have_the_noise_of_consistency_policy():
    bins = torch.tensor([0, 1, 10, 27, 40, 54, 70, 77, 78, 79, 80])
    expected = torch.tensor([80, 75.2, 42.0, 12.01, 3.86, 0.885, 0.100, 0.0296, 0.0244, 0.02, 0.02])
    torch.testing.assert_close(sigma_of_bin(bins, LEVELS), expected, rtol=5e-3, atol=0)
    assert sigma_of_bin(bins, LEVELS)[-1] == pytest.approx(0.02)  # beyond the last bin


def test_with_all_steps_the_sampler_visits_the_bins():
    torch.testing.assert_close(sampler_sigmas(79, LEVELS), sigma_of_bin(torch.arange(80), LEVELS))
    assert sampler_sigmas(5, LEVELS)[[0, -1]].tolist() == pytest.approx([80.0, 0.02])


def test_preconditioning_by_hand():
    """At sigma = 0.52 the noise above the boundary is 0.5 = sigma_data."""
    c = preconditioning(torch.tensor([0.52]), LEVELS)
    total = math.sqrt(0.52**2 + 0.25)
    assert [f.item() for f in c] == pytest.approx([0.5, 0.25 / total, 1 / total, 250 * math.log(0.52)], rel=1e-5)
    # Karras et al., table 1.
    c = preconditioning(torch.tensor([0.5]), PLAIN)
    assert [f.item() for f in c[:3]] == pytest.approx([0.5, 0.25 / math.sqrt(0.5), 1 / math.sqrt(0.5)], rel=1e-5)


def test_time_input_has_the_published_range():
    edges = preconditioning(torch.tensor([0.02, 80.0]), LEVELS).c_noise.tolist()
    assert edges == pytest.approx([-978.0, 1095.5], abs=0.1)


def test_denoiser_is_the_identity_at_the_least_noise():
    x, wild = torch.randn(3, 4, 2), lambda inner, t: 100 + inner * t.view(-1, 1, 1)
    least = torch.full((3,), LEVELS.sigma_min)
    torch.testing.assert_close(denoise(wild, x, least, LEVELS), x)
    assert not torch.allclose(denoise(wild, x, least, PLAIN), x)


def test_training_noise_is_log_normal():
    sigma = log_normal_sigmas(20_000, -1.2, 1.2, torch.Generator().manual_seed(0))
    assert sigma.log().mean().item() == pytest.approx(-1.2, abs=0.03)
    assert sigma.log().std().item() == pytest.approx(1.2, abs=0.03)
    assert (sigma < 0.02).float().mean().item() == pytest.approx(0.012, abs=0.004)


def test_loss_weight_by_hand():
    """An error of 0.1 everywhere at sigma = 0.5: weight (0.25 + 0.25) / 0.25^2 = 8, loss 8 * 0.01."""
    x0 = torch.zeros(2, 4, 3)
    loss = denoising_loss(x0 + 0.1, x0, torch.tensor([0.5, 0.5]), LEVELS, "mse")
    assert loss.item() == pytest.approx(0.08)


def test_padding_does_not_count():
    x0, predicted = torch.zeros(2, 4, 3), torch.full((2, 4, 3), 0.1)
    real = torch.ones(2, 4, dtype=torch.bool)
    real[:, 2:] = False
    whole = denoising_loss(predicted, x0, torch.tensor([0.5, 0.5]), LEVELS, "mse")
    predicted[:, 2:] = 7.0
    half = denoising_loss(predicted, x0, torch.tensor([0.5, 0.5]), LEVELS, "mse", real)
    assert half.item() == pytest.approx(whole.item() / 2)


@pytest.mark.parametrize(
    ("sampler", "tolerance"), [("euler", 0.05), ("heun", 4e-3), ("dpmpp_2m", 5e-3), ("dpmpp_3m", 5e-3)]
)
def test_samplers_reach_the_variance_of_a_gaussian(sampler, tolerance):
    """The flow of N(0, STD^2) is x(sigma) proportional to sqrt(STD^2 + sigma^2), which is known exactly."""
    x, sigmas = 80 * torch.randn(50, 8, 5), sampler_sigmas(79, LEVELS)
    end = sample(gaussian_denoiser, x, sigmas, sampler)
    scale = math.sqrt((STD**2 + 0.02**2) / (STD**2 + 80**2))
    torch.testing.assert_close(end, scale * x, rtol=tolerance, atol=0)
    assert end.std().item() == pytest.approx(math.sqrt(STD**2 + 0.02**2), rel=tolerance + 0.05)


def test_order_of_convergence():
    """Twice the steps: half the error at first order, a quarter at second; third order starts with lower ones."""
    x = 80 * torch.randn(20, 4, 2)
    exact = x * math.sqrt((STD**2 + 0.02**2) / (STD**2 + 80**2))

    def error(sampler: str, steps: int) -> float:
        return (sample(gaussian_denoiser, x, sampler_sigmas(steps, LEVELS), sampler) - exact).abs().mean().item()

    order = {name: math.log2(error(name, 40) / error(name, 80)) for name in SAMPLERS}
    assert order["euler"] == pytest.approx(1, abs=0.15)
    assert order["heun"] == pytest.approx(2, abs=0.15)
    assert order["dpmpp_2m"] == pytest.approx(2, abs=0.15)
    assert error("dpmpp_3m", 40) < error("dpmpp_2m", 40) / 3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_docs_tell_the_error_of_the_width(sampler):
    x = 80 * torch.randn(1, 8, 5)
    exact = math.sqrt((STD**2 + 0.02**2) / (STD**2 + 80**2))
    ratios = [(sample(gaussian_denoiser, x, sampler_sigmas(steps, LEVELS), sampler) / x).mean() for steps in (24, 79)]
    errors = " / ".join(f"{100 * abs(ratio.item() / exact - 1):.2g}%" for ratio in ratios)
    row = next(line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{sampler}` |"))
    assert row.endswith(f"| {errors} |")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_evaluations_per_step(sampler):
    calls = []
    sample(
        lambda x, s: calls.append(0) or gaussian_denoiser(x, s),
        torch.randn(1, 2, 2),
        sampler_sigmas(9, LEVELS),
        sampler,
    )
    assert len(calls) == 9 * SAMPLERS[sampler]


def test_a_step_of_length_zero_changes_nothing():
    x, sigma = torch.randn(2, 3, 1), torch.tensor([0.02, 3.0])
    assert torch.equal(heun_step(gaussian_denoiser, x, sigma, sigma), x)


def test_noise_keeps_the_scale_of_the_signal():
    x0, noise = torch.ones(2, 1, 1), torch.full((2, 1, 1), 0.5)
    assert add_noise(x0, noise, torch.tensor([2.0, 80.0])).flatten().tolist() == [2.0, 41.0]
