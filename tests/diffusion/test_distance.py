"""Error measures, by hand."""

import math

import pytest
import torch

from lerobot_sdm.diffusion.distance import NORMS, distance, regression_loss
from lerobot_sdm.errors import InputError

ZERO = torch.zeros(1, 2, 2)


def test_values_by_hand():
    """An error of 0.1 in each of 16 x 2 entries: root mean square 0.1, c = 0.00054 sqrt(32) = 0.003055."""
    prediction, target = torch.full((1, 16, 2), 0.1), torch.zeros(1, 16, 2)
    found = {norm: distance(prediction, target, norm).item() for norm in NORMS}
    assert found["mse"] == pytest.approx(0.01)
    # The paper's sqrt(|e|^2 + c^2) - c, divided by sqrt(32).
    paper = math.sqrt(32 * 0.01 + 0.003055**2) - 0.003055
    assert found["pseudo_huber"] == pytest.approx(paper / math.sqrt(32), rel=1e-4)
    assert found["released"] == pytest.approx(math.sqrt(1e-4 + 0.003055**2) - 0.003055, rel=1e-3)


def test_the_published_constants():
    """c of chunks of 16 actions with 10, 2 and 4 entries, read off small errors: e^4 / (2 c)."""
    for entries, c in ((10, 0.00683), (2, 0.00305), (4, 0.00432)):
        error = distance(
            torch.full((1, 16, entries), 0.01, dtype=torch.double), torch.zeros(1, 16, entries), "released"
        )
        assert 1e-8 / (2 * error.item()) == pytest.approx(c, rel=5e-3)


@pytest.mark.parametrize("norm", NORMS)
def test_samples_stay_apart_and_masked_steps_do_not_count(norm):
    target = torch.zeros(2, 4, 1)
    prediction = torch.stack([torch.full((4, 1), 0.2), torch.zeros(4, 1)])
    first, second = distance(prediction, target, norm).tolist()
    assert first > 0
    assert second == 0
    real = torch.zeros(2, 4, dtype=torch.bool)
    assert distance(prediction, target, norm, real).tolist() == [0, 0]


def test_unknown_norms_are_refused():
    with pytest.raises(InputError, match="'l1'"):
        distance(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), "l1")


def test_values_of_the_regression():
    error = torch.full((1, 2, 2), 4.0)
    assert regression_loss(error, ZERO, None).item() == pytest.approx(16)
    # 2 * 3 * (sqrt(4^2 + 3^2) - 3) = 12
    assert regression_loss(error, ZERO, 3.0).item() == pytest.approx(12)
    # Samples count one by one: a second one without error halves the mean.
    both = torch.cat([error, ZERO])
    assert regression_loss(both, torch.zeros(2, 2, 2), 3.0).item() == pytest.approx(6)


def test_small_errors_of_the_regression_weigh_as_in_the_squared_error():
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
