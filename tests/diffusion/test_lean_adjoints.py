"""Adjoint Matching against what can be derived by hand: tilted Gaussians, explicit Jacobians, closed forms."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from lerobot_sdm.diffusion.adjoint_matching import (
    MemorylessProcess,
    clip_norms,
    control,
    draw_steps,
    lean_adjoints,
    matching_losses,
    memoryless_process,
    posterior_mean,
    sample_states,
)
from lerobot_sdm.diffusion.predictions import read_out
from lerobot_sdm.diffusion.schedules import alphas_cumprod, ddim_timesteps

VARIANCE = 0.25
"""Of the one-dimensional data of the Gaussian tests."""


def process_of(steps: int, levels: int = 100) -> MemorylessProcess:
    return memoryless_process(alphas_cumprod(levels), ddim_timesteps(levels, steps))


def gaussian_eps(alpha_bar: Tensor, x: Tensor) -> Tensor:
    """The noise in x that a perfect network finds, for data from N(0, VARIANCE)."""
    alpha_bar = alpha_bar.view(-1, 1, 1)
    return x * (1 - alpha_bar).sqrt() / (alpha_bar * VARIANCE + 1 - alpha_bar)


def mean_of(eps, process: MemorylessProcess, x: Tensor, k: Tensor) -> Tensor:
    """The step of a network that predicts noise: eps(alpha_bar (N,), x (N, T, A))."""
    alpha_bar = process.alpha_bar[k]
    return posterior_mean(x, read_out(eps(alpha_bar, x), x, alpha_bar, "epsilon").x0, process, k)


def slopes(process: MemorylessProcess) -> list[float]:
    """d m / d x of the Gaussian's process, which is linear, step by step."""
    one = torch.ones(1, 1, 1)
    return [mean_of(gaussian_eps, process, one, torch.tensor([k])).item() for k in range(process.steps)]


def chain_variance(process: MemorylessProcess) -> float:
    """Variance of the samples, from the recursion V <- J^2 V + sigma^2 that starts at 1."""
    variance = 1.0
    for slope, sigma in zip(slopes(process), process.sigma.tolist(), strict=True):
        variance = slope**2 * variance + sigma**2
    return variance


def shift_under_control(process: MemorylessProcess, weight: float, ahead: int) -> float:
    """How far the mean sample moves under the control that the adjoints of reward(x) = x ask for."""
    states = torch.zeros(process.steps + 1, 1, 1, 1)
    mean = partial(mean_of, gaussian_eps, process)
    adjoints = lean_adjoints(mean, states, torch.full((1, 1, 1), -weight)).values
    x = torch.zeros(1, 1, 1)
    for k in range(process.steps):
        x = mean(x, torch.tensor([k])) - process.sigma[k] ** 2 * adjoints[k + ahead]
    return x.item()


@pytest.mark.parametrize(("steps", "exact", "released"), [(100, 0.2327, 0.2256), (1000, 0.2480, 0.2472)])
def test_linear_gaussian_tilt(steps, exact, released):
    """exp(weight x) moves N(0, v) by weight v, upwards, and leaves its variance: the numbers are the reference's."""
    process = process_of(steps, steps)
    assert shift_under_control(process, 1.0, ahead=1) == pytest.approx(exact, abs=2e-4)
    assert shift_under_control(process, 1.0, ahead=0) == pytest.approx(released, abs=2e-4)
    assert shift_under_control(process, 3.0, ahead=1) == pytest.approx(3 * chain_variance(process), rel=1e-4)


def test_noise_is_memoryless():
    """Of the start noise nothing is left in the sample."""
    assert torch.tensor(slopes(process_of(100))).prod().abs() < 1e-3


def test_the_process_is_ddpms():
    """Step by step what diffusers' DDPM does, whose variance is the posterior's."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    scheduler = DDPMScheduler(100, beta_schedule="squaredcos_cap_v2", prediction_type="epsilon", clip_sample=True)
    scheduler.set_timesteps(20)
    timesteps = scheduler.timesteps.tolist()
    process = memoryless_process(scheduler.alphas_cumprod, timesteps)
    random = torch.Generator().manual_seed(0)
    x, eps = torch.randn(2, 4, 8, 2, generator=random)
    for k in (0, 7, 19):
        alpha_bar = process.alpha_bar[k].expand(4)
        x0 = read_out(eps, x, alpha_bar, "epsilon").x0.clamp(-1, 1)
        expected = scheduler.step(eps, timesteps[k], x, generator=torch.Generator().manual_seed(1)).prev_sample
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) if k < 19 else 0
        found = posterior_mean(x, x0, process, torch.full((4,), k)) + process.sigma[k] * noise
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_adjoints_are_those_of_an_explicit_jacobian():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2)).double()

    def mean(x: Tensor, k: Tensor) -> Tensor:
        time = (k / 5).view(-1, 1, 1).to(x)
        return x + net(torch.cat([x, time], dim=-1))

    states, terminal = torch.randn(6, 3, 1, 2).double(), torch.randn(3, 1, 2).double()
    found = lean_adjoints(mean, states, terminal)
    assert found.finite.all()
    for i in range(3):
        expected = terminal[i].flatten()
        for k in reversed(range(5)):
            jacobian = torch.autograd.functional.jacobian(
                lambda x, k=k: mean(x.view(1, 1, 2), torch.tensor([k])).flatten(), states[k, i].flatten()
            )
            expected = jacobian.T @ expected
            torch.testing.assert_close(found.values[k, i].flatten(), expected)
    torch.testing.assert_close(found.base_means[2], mean(states[2], torch.full((3,), 2)))


def test_networks_that_predict_noise_or_actions_have_the_same_loss():
    process, random = process_of(10), torch.Generator().manual_seed(0)
    x, base, tuned, adjoint = torch.randn(4, 6, 8, 2, generator=random)
    k = torch.tensor([0, 1, 3, 5, 7, 8])
    alpha_bar, alpha_bar_next, sigma = process.alpha_bar[k], process.alpha_bar_next[k], process.sigma[k]
    by_noise, by_actions = [], []
    for eps in (base, tuned):
        x0 = read_out(eps, x, alpha_bar, "epsilon").x0
        by_noise.append(posterior_mean(x, x0, process, k))
        by_actions.append(posterior_mean(x, read_out(x0, x, alpha_bar, "sample").x0, process, k))
    controls = control(by_noise[1], by_noise[0], sigma)
    losses = matching_losses(controls, adjoint, sigma)
    torch.testing.assert_close(
        losses, matching_losses(control(by_actions[1], by_actions[0], sigma), adjoint, sigma), rtol=1e-3, atol=1e-3
    )
    beta = 1 - alpha_bar / alpha_bar_next
    weight = (alpha_bar_next * beta / (alpha_bar * (1 - alpha_bar_next))).sqrt().view(-1, 1, 1)
    torch.testing.assert_close(controls, -weight * (tuned - base), rtol=1e-3, atol=1e-3)


def test_no_loss_at_the_base_without_reward():
    process = process_of(6)
    mean = partial(mean_of, gaussian_eps, process)
    states = sample_states(mean, torch.randn(4, 2, 1), process, torch.Generator().manual_seed(0))
    adjoints = lean_adjoints(mean, states, torch.zeros(4, 2, 1))
    k = torch.full((4,), 3)
    controls = control(mean(states[3], k), adjoints.base_means[3], process.sigma[k])
    assert matching_losses(controls, adjoints.values[4], process.sigma[k]).abs().max() == 0


def fixed_point(process: MemorylessProcess, weight: float) -> float:
    """Mean sample that the regression settles at, for the Gaussian and reward(x) = -(x - 1)^2.

    There the mean of step k is J_k x - sigma_k^2 G_k 2 weight (E[x_K | x_k] - 1), with G_k the product of the later
    slopes. That makes E[x_K | x_k] = slope x_k + shift, whose coefficients follow backwards from 1 and 0 at the sample.
    """
    slope, shift, later = 1.0, 0.0, 1.0
    for own, sigma in reversed(list(zip(slopes(process), process.sigma.tolist(), strict=True))):
        push = slope * sigma**2 * later * 2 * weight
        slope, shift = slope * own / (1 + push), (shift + push) / (1 + push)
        later *= own
    return shift


def test_the_fixed_point_is_the_tilt_in_the_limit():
    """exp(-weight (x - 1)^2) makes of N(0, v) a Gaussian with mean 2 weight / (1 / v + 2 weight)."""
    for weight in (0.5, 2.0):
        tilt = 2 * weight / (1 / VARIANCE + 2 * weight)
        assert fixed_point(process_of(1000, 1000), weight) == pytest.approx(tilt, rel=0.03)


def test_a_quadratic_reward_rises_to_the_fixed_point():
    """A network that starts as the base learns what the regression asks for, from its own trajectories alone."""
    # Beyond 91 an error of the noise counts too much; policies begin there, too.
    process = memoryless_process(alphas_cumprod(100), ddim_timesteps(100, 20, start=91))
    weight, random = 2.0, torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    correction = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 1))
    nn.init.zeros_(correction[-1].weight)
    nn.init.zeros_(correction[-1].bias)

    def tuned_eps(alpha_bar: Tensor, x: Tensor) -> Tensor:
        level = alpha_bar.view(-1, 1, 1).expand_as(x)
        return gaussian_eps(alpha_bar, x) + correction(torch.cat([x, level], dim=-1))

    base, tuned = (partial(mean_of, eps, process) for eps in (gaussian_eps, tuned_eps))

    def samples(count: int) -> Tensor:
        return sample_states(tuned, torch.randn(count, 1, 1, generator=random), process, random)

    before = samples(2000)[-1]
    optimizer = torch.optim.Adam(correction.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        states = samples(128)
        adjoints = lean_adjoints(base, states, 2 * weight * (states[-1] - 1))
        chosen = draw_steps(6, process, random)
        k = chosen.repeat_interleave(128)
        controls = control(
            tuned(states[chosen].flatten(0, 1), k), adjoints.base_means[chosen].flatten(0, 1), process.sigma[k]
        )
        loss = matching_losses(controls, adjoints.values[chosen + 1].flatten(0, 1), process.sigma[k]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    after = samples(2000)[-1]
    assert before.mean().item() == pytest.approx(0, abs=0.05)
    assert after.mean().item() == pytest.approx(fixed_point(process, weight), abs=0.05)
    assert -(after - 1).square().mean() > -(before - 1).square().mean() + 0.3


def test_long_adjoints_are_shortened_to_a_quantile():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0]).view(5, 1, 1) * torch.tensor([0.6, 0.8])
    found = clip_norms(values, 0.75).flatten(1)
    torch.testing.assert_close(found.norm(dim=1), torch.tensor([1.0, 2.0, 3.0, 4.0, 4.0]))
    torch.testing.assert_close(found[-1], 4 * torch.tensor([0.6, 0.8]))
    assert torch.equal(clip_norms(values, 1.0), values)


def test_what_is_not_finite_stays_with_its_sample():
    process = process_of(4)
    states = torch.randn(5, 3, 1, 1)
    terminal = torch.tensor([1.0, torch.inf, 1.0]).view(3, 1, 1)

    def mean(x: Tensor, k: Tensor) -> Tensor:
        """Like a network that fails on the third sample, halfway through."""
        broken = torch.tensor([1.0, 1.0, torch.nan if k[0] == 1 else 1.0]).view(3, 1, 1)
        return mean_of(gaussian_eps, process, x, k) * broken

    found = lean_adjoints(mean, states, terminal, clip_quantile=0.5)
    assert found.finite.tolist() == [True, False, False]
    assert found.values.isfinite().all()
    alone = lean_adjoints(partial(mean_of, gaussian_eps, process), states[:, :1], terminal[:1])
    torch.testing.assert_close(found.values[:, :1].sign(), alone.values.sign())


def test_steps_are_spread_and_leave_out_the_last():
    process, random = process_of(21), torch.Generator().manual_seed(0)
    drawn = torch.stack([draw_steps(4, process, random) for _ in range(200)])
    for part in range(4):
        assert drawn[:, part].min() == 5 * part
        assert drawn[:, part].max() == 5 * part + 4
    assert process.sigma[-1] == 0
    assert (process.sigma[:-1] > 0).all()
