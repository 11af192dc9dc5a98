"""Flow matching: its times, and what one and ten steps of exact velocities give."""

import pytest
import torch

from lerobot_sdm.diffusion.flow_matching import chunk_means, euler_sample, interpolate, shifted_power_times


def times(count: int, power: float, shift: float) -> torch.Tensor:
    return shifted_power_times(count, power, shift, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("shift", "mean", "quantiles", "near_noise", "near_data"),
    [
        (1, 0.60, (0.14, 0.63, 0.97), 0.15, 0.35),
        (3, 0.77, (0.32, 0.84, 0.99), 0.35, 0.13),
        (4, 0.81, (0.39, 0.87, 0.99), 0.43, 0.09),
        (8, 0.88, (0.56, 0.93, 1.00), 0.62, 0.04),
    ],
)
def test_published_times(shift, mean, quantiles, near_noise, near_data):
    t = times(100_000, 1.5, shift)
    assert t.mean().item() == pytest.approx(mean, abs=0.01)
    found = t.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    assert found == pytest.approx(quantiles, abs=0.01)
    assert (t > 0.9).float().mean().item() == pytest.approx(near_noise, abs=0.01)
    assert (t < 0.5).float().mean().item() == pytest.approx(near_data, abs=0.01)


def test_the_ends_of_the_family():
    """Power and shift 1 are uniform; an unlimited shift is pure noise."""
    t = times(50_000, 1, 1)
    torch.testing.assert_close(t.sort().values, torch.linspace(0, 1, 50_000), atol=0.01, rtol=0)
    assert times(1000, 1.5, 1e9).min() > 0.999


@pytest.mark.parametrize("steps", [1, 10])
def test_a_single_answer_is_found_in_any_number_of_steps(steps):
    """Of data that are always x, the velocity is (z - x) / t."""
    x, noise = torch.randn(2, 3, 4, 2).double()
    found = euler_sample(lambda z, t: (z - x) / t.view(-1, 1, 1), noise, steps)
    torch.testing.assert_close(found, x, atol=1e-12, rtol=0)


def two_modes(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Exact velocity of data at -1 and 1 equally often: (z - E[x | z]) / t with E = tanh(z (1 - t) / t^2)."""
    t = t.view(-1, 1, 1)
    return (z - torch.tanh(z * (1 - t) / t**2)) / t


def test_one_step_is_the_mean_and_many_steps_are_the_modes():
    noise = torch.randn(500, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(euler_sample(two_modes, noise, 1), torch.zeros_like(noise))
    many = euler_sample(two_modes, noise, 200).flatten()
    assert (many.abs() > 0.9).double().mean() > 0.95
    assert 0.4 < (many > 0).double().mean() < 0.6


def test_the_path():
    x, noise = torch.randn(2, 3, 4, 2)
    path = interpolate(x, noise, torch.tensor([0.0, 1.0, 0.25]))
    assert torch.equal(path[0], x[0])
    assert torch.equal(path[1], noise[1])
    torch.testing.assert_close(path[2], 0.75 * x[2] + 0.25 * noise[2])


def test_means_of_chunks_leave_padding_out():
    values = torch.arange(12.0).view(2, 3, 2)
    assert chunk_means(values, None).tolist() == [2.5, 8.5]
    real = torch.tensor([[True, True, False], [False, False, False]])
    assert chunk_means(values, real).tolist() == [1.5, 0.0]
