"""The energy score: its definition by hand, its gradient, and what minimizes it."""

import pytest
import torch

from lerobot_sdm.diffusion.energy_score import energy_score
from lerobot_sdm.measure.distances import distance_to_point


def test_by_hand():
    """Two samples 0 and 4 at the target 1, one entry each: (1 + 3) / 2 - 4 / 2 = 0."""
    samples = torch.tensor([0.0, 4.0]).view(2, 1, 1, 1)
    assert energy_score(samples, torch.ones(1, 1, 1)).item() == pytest.approx(0, abs=1e-5)


def test_is_half_the_distance_that_is_measured_per_root_of_the_entries():
    samples, target = torch.randn(5, 3, 4, 2), torch.randn(3, 4, 2)
    measured = distance_to_point(samples.transpose(0, 1).flatten(2), target.flatten(1))
    torch.testing.assert_close(energy_score(samples, target), measured / 2 / 8**0.5, atol=1e-5, rtol=1e-5)


def test_steps_beyond_the_episode_do_not_count():
    samples, target = torch.randn(3, 2, 4, 2), torch.randn(2, 4, 2)
    real = torch.tensor([[True] * 3 + [False], [False] * 4])
    found = energy_score(samples, target, real)
    torch.testing.assert_close(found[:1], energy_score(samples[:, :1, :3], target[:1, :3]))
    assert found[1] == pytest.approx(0, abs=1e-5)


def test_gradient_is_finite_where_samples_agree():
    samples = torch.zeros(2, 1, 2, 2, requires_grad=True)
    energy_score(samples, torch.zeros(1, 2, 2)).sum().backward()
    assert samples.grad.isfinite().all()


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match="at least two samples"):
        energy_score(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2))


def test_the_minimizer_is_the_datas_distribution_not_its_mean():
    """Data at -1 and 1 equally often: a generator z -> a z + b with z = -1 or 1 must find |a| = 1 and b = 0."""
    random = torch.Generator().manual_seed(0)
    weights = torch.tensor([0.3, 0.4], requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.02)
    for _ in range(400):
        z, data = (2.0 * torch.randint(2, shape, generator=random) - 1 for shape in ((2, 256, 1, 1), (256, 1, 1)))
        optimizer.zero_grad()
        energy_score(weights[0] * z + weights[1], data).mean().backward()
        optimizer.step()
    assert weights[0].abs().item() == pytest.approx(1, abs=0.1)
    assert weights[1].item() == pytest.approx(0, abs=0.1)
