"""Sample distances against values that can be derived by hand."""

import math

import pytest
import torch

from lerobot_sdm.measure.distances import distance_to_point, energy_distance, paired_rms, spread


def test_two_point_masses():
    """|X - Y| is always 5 and the rest is zero: the distance is 2 x 5."""
    x = torch.zeros(1, 4, 2)
    y = torch.tensor([3.0, 4.0]).expand(1, 6, 2)
    assert energy_distance(x, y).item() == pytest.approx(10.0)


def test_one_mode_of_two_is_far():
    """y sits on one of x's two modes at -1 and +1: 2 E|X - Y| = 2, E|X - X'| over different samples = 4/3."""
    x = torch.tensor([-1.0, -1.0, 1.0, 1.0]).view(1, 4, 1)
    y = torch.ones(1, 3, 1)
    assert energy_distance(x, y).item() == pytest.approx(2 - 4 / 3)


def test_equal_distributions_have_zero_mean():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4000, 8, 3, generator=generator, dtype=torch.float64)
    values = energy_distance(x, y)
    standard_error = values.std().item() / math.sqrt(len(values))
    assert abs(values.mean().item()) < 3 * standard_error
    assert (values < 0).any()  # unbiased, so single values fall on both sides


def test_shifted_gaussians():
    """In one dimension, N(0,1) against N(m,1): 2 E|m + sqrt(2) Z| - 2 E|sqrt(2) Z|, a folded normal."""
    shift = 1.5
    folded = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    expected = 2 * folded - 2 * 2 / math.sqrt(math.pi)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 400, 64, 1, generator=generator, dtype=torch.float64)
    values = energy_distance(x, y + shift)
    assert values.mean().item() == pytest.approx(expected, abs=4 * values.std().item() / math.sqrt(400))


def test_close_samples_keep_their_precision():
    x = 1000.0 + torch.tensor([0.0, 0.25]).view(1, 2, 1)
    y = 1000.5 + torch.tensor([0.0, 0.25]).view(1, 2, 1)
    assert energy_distance(x, y).item() == pytest.approx(2 * 0.5 - 0.25 - 0.25)


def test_distance_to_a_single_draw():
    """Samples at -1 and +1 twice each, the draw at +1: 2 E|X - y| = 2, E|X - X'| over different samples = 4/3."""
    x = torch.tensor([-1.0, -1.0, 1.0, 1.0]).view(1, 4, 1)
    assert distance_to_point(x, torch.ones(1, 1)).item() == pytest.approx(2 - 4 / 3)


def test_single_draws_tell_policies_apart_as_whole_samples_would():
    """Averaged over draws y, two policies differ by the difference of their energy distances to the source of y: two
    ways to act against the middle of both."""
    generator = torch.Generator().manual_seed(2)
    y = torch.randn(4000, 1, generator=generator).sign().double()
    both = torch.randn(4000, 16, 1, generator=generator).sign().double()
    middle = torch.zeros(4000, 16, 1, dtype=torch.float64)
    # Signs are 0 or 2 apart, equally often: E|X - Y| = E|X - X'| = 1. From the middle they are 1 away.
    assert distance_to_point(both, y).mean().item() == pytest.approx(2 - 1, abs=0.05)
    assert distance_to_point(middle, y).mean().item() == pytest.approx(2 - 0)


def test_spread_is_the_mean_deviation():
    x = torch.stack([torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.zeros(2, 2)])
    assert spread(x).tolist() == pytest.approx([math.sqrt(2) / 2, 0.0])


def test_paired_rms():
    x = torch.zeros(1, 2, 2)
    y = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])
    assert paired_rms(x, y).item() == pytest.approx(2.5)


def test_bad_shapes():
    with pytest.raises(ValueError, match="K, M, D"):
        energy_distance(torch.zeros(2, 3, 1), torch.zeros(3, 3, 1))
    with pytest.raises(ValueError, match="two samples"):
        energy_distance(torch.zeros(2, 1, 1), torch.zeros(2, 3, 1))
    with pytest.raises(ValueError, match=r"one draw for each condition"):
        distance_to_point(torch.zeros(2, 3, 1), torch.zeros(2, 1, 1))
    with pytest.raises(ValueError, match="K, M, D"):
        distance_to_point(torch.zeros(2, 3, 1), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="two samples"):
        distance_to_point(torch.zeros(2, 1, 1), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="equal shapes"):
        paired_rms(torch.zeros(2, 3, 1), torch.zeros(2, 4, 1))
