"""The regression's loss, against values worked out by hand."""

import pytest
import torch

from lerobot_sdm.diffusion.distance import regression_loss

ZERO = torch.zeros(1, 2, 2)


def test_values():
    error = torch.full((1, 2, 2), 4.0)
    assert regression_loss(error, ZERO, None).item() == pytest.approx(16)
    # 2 * 3 * (sqrt(4^2 + 3^2) - 3) = 12
    assert regression_loss(error, ZERO, 3.0).item() == pytest.approx(12)
    # Samples count one by one: a second one without error halves the mean.
    both = torch.cat([error, ZERO])
    assert regression_loss(both, torch.zeros(2, 2, 2), 3.0).item() == pytest.approx(6)


def test_small_errors_weigh_as_in_the_squared_error():
    error = torch.full((1, 2, 2), 1e-3, dtype=torch.float64)
    assert regression_loss(error, ZERO.double(), 0.1).item() == pytest.approx(1e-6, rel=1e-3)


def test_between_two_ways_the_squared_error_stops_half_way_and_pseudo_huber_goes_on_to_the_more_frequent():
    ways = torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1)
    x = torch.linspace(-1.2, 1.2, 241, dtype=torch.float64)

    def least(delta: float | None) -> float:
        losses = [regression_loss(value.expand(3, 1, 1), ways, delta).item() for value in x]
        return x[int(torch.tensor(losses).argmin())].item()

    assert least(None) == pytest.approx(-1 / 3, abs=0.01)
    # 2 (x + 1) / sqrt((x + 1)^2 + delta^2) = 1 at x = -1 + delta / sqrt(3), the other way's pull being 1.
    assert least(0.03) == pytest.approx(-1 + 0.03 / 3**0.5, abs=0.01)
