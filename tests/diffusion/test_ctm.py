"""Consistency trajectory models: identities of the jump, statistics of the times, and who gets a gradient."""

import math

import pytest
import torch
from torch import nn

from lerobot_sdm.diffusion.ctm import Times, chained_jumps, ctm_loss, draw_times, dsm_sigmas, jump, solve
from lerobot_sdm.diffusion.karras import NoiseLevels, add_noise, denoising_loss, heun_step, sigma_of_bin

LEVELS = NoiseLevels()
STD = 0.3


def gaussian_denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return STD**2 / (STD**2 + sigma.view(-1, 1, 1) ** 2) * x


def gaussian_flow(x: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """The exact jump under data from N(0, STD^2)."""
    return x * ((STD**2 + s**2) / (STD**2 + t**2)).sqrt().view(-1, 1, 1)


class Net(nn.Module):
    """A network of x, t and s with parameters."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return self.linear(x) + (t + 2 * s).view(-1, 1, 1) / 1000

    def jump(self, x: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return jump(self, x, t, s, LEVELS)


@pytest.mark.parametrize("sigma", [0.02, 0.885, 12.01, 80.0])
def test_a_jump_to_where_it_starts_is_the_identity(sigma):
    x, level = torch.randn(2, 4, 3), torch.full((2,), sigma)
    torch.testing.assert_close(Net().jump(x, level, level), x)


def test_a_jump_by_hand():
    """Network 1 everywhere, x = 2, t = 0.52, s = 0.26: g = 0.5 * 2 + 0.25 / sqrt(0.52^2 + 0.25), G the mean of both."""
    x, t, s = torch.full((1, 1, 1), 2.0), torch.tensor([0.52]), torch.tensor([0.26])
    g = 1 + 0.25 / math.sqrt(0.52**2 + 0.25)
    assert jump(lambda x, t, s: torch.ones_like(x), x, t, s, LEVELS).item() == pytest.approx((2 + g) / 2)


def test_times_are_distributed_as_in_consistency_policy():
    times = draw_times(40_000, LEVELS, 1, torch.Generator().manual_seed(0))
    t, u, s = times
    assert (t.min(), t.max(), s.max()) == (0, 79, 80)
    assert bool(((t <= u) & (u <= s) & (u <= t + 1)).all())
    assert (s == t).float().mean().item() == pytest.approx(0.05, abs=0.015)
    assert (u == t).float().mean().item() == pytest.approx(0.15, abs=0.015)
    far = draw_times(10_000, LEVELS, 10, torch.Generator().manual_seed(0))
    assert (far.u - far.t).max() == 10


def test_the_teacher_takes_whole_bins_and_waits_where_it_has_arrived():
    x = torch.randn(3, 2, 2)
    times = Times(torch.tensor([10, 10, 79]), torch.tensor([12, 10, 80]), torch.tensor([80, 80, 80]))
    end = solve(gaussian_denoiser, x, times, LEVELS, max_solver_steps=4)
    sigma = sigma_of_bin(torch.tensor([10, 11, 12]), LEVELS).unsqueeze(1)
    by_hand = heun_step(gaussian_denoiser, heun_step(gaussian_denoiser, x[:1], sigma[0], sigma[1]), sigma[1], sigma[2])
    torch.testing.assert_close(end[:1], by_hand)
    assert torch.equal(end[1:], x[1:])


def test_the_exact_flow_is_consistent():
    """Jumps along the exact flow have hardly any loss; jumps that fall short have."""
    random = torch.Generator().manual_seed(0)
    x0, noise = STD * torch.randn(256, 4, 2, generator=random), torch.randn(256, 4, 2, generator=random)
    times = draw_times(256, LEVELS, 1, random)
    loss = lambda flow: ctm_loss(flow, gaussian_flow, gaussian_denoiser, x0, noise, times, LEVELS, norm="mse").item()  # noqa: E731
    assert loss(gaussian_flow) < 1e-6
    assert loss(lambda x, t, s: 1.1 * gaussian_flow(x, t, s)) > 1e-4


def test_gradient_flows_through_the_target_and_stops_at_its_parameters():
    student, target, teacher = Net(), Net().requires_grad_(False), nn.Linear(3, 3)
    x0, noise = torch.randn(8, 4, 3), torch.randn(8, 4, 3)
    times = Times(torch.full((8,), 20), torch.full((8,), 21), torch.full((8,), 50))
    loss = ctm_loss(student.jump, target.jump, lambda x, s: teacher(x), x0, noise, times, LEVELS)
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in student.parameters())
    assert all(p.grad is None for p in [*target.parameters(), *teacher.parameters()])


def test_denoising_noise_is_half_power_law_half_log_normal():
    sigma = dsm_sigmas(20_001, LEVELS, -1.2, 1.2, torch.Generator().manual_seed(0))
    power, log_normal = sigma[:10_001], sigma[10_001:]
    assert power.min().item() == pytest.approx(0.759, rel=0.01)
    assert power.max().item() == pytest.approx(80, rel=0.01)
    assert log_normal.log().mean().item() == pytest.approx(-1.2, abs=0.05)


def test_denoising_loss_of_the_posterior_mean_is_what_is_left_of_the_variance():
    """Posterior variance of N(0, STD^2) at sigma: STD^2 sigma^2 / (STD^2 + sigma^2)."""
    random = torch.Generator().manual_seed(0)
    x0, noise = STD * torch.randn(20_000, 2, 1, generator=random), torch.randn(20_000, 2, 1, generator=random)
    sigma = torch.full((20_000,), 0.5)
    denoised = gaussian_denoiser(add_noise(x0, noise, sigma), sigma)
    loss = denoising_loss(denoised, x0, sigma, LEVELS, "mse").item()
    assert loss == pytest.approx(8 * STD**2 * 0.25 / (STD**2 + 0.25), rel=0.03)


def test_chained_jumps_noise_again_with_less():
    seen = []

    def student(x, t, s):
        seen.append((t[0].item(), s[0].item(), x.std().item()))
        return torch.full_like(x, 3.0)

    stops = sigma_of_bin(torch.tensor([27, 54]), LEVELS).tolist()
    actions = chained_jumps(student, torch.randn(4, 50, 5), stops, LEVELS)
    assert [t for t, _, _ in seen] == pytest.approx([80, 12.01, 0.885], rel=1e-3)
    assert [s for _, s, _ in seen] == pytest.approx([0.02] * 3)
    assert [std for _, _, std in seen] == pytest.approx([1, 12.01, 0.885], rel=0.1)
    assert torch.equal(actions, torch.ones_like(actions))  # clipped
