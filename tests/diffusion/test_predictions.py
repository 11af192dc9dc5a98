"""Reading clean samples and noise from a network's output."""

import pytest
import torch

from lerobot_sdm.diffusion.predictions import (
    PREDICTION_TYPES,
    amplification,
    last_readable_timestep,
    read_out,
    training_target,
)
from lerobot_sdm.diffusion.schedules import add_noise, alphas_cumprod
from lerobot_sdm.errors import InputError


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_perfect_network_gives_back_what_was_mixed(prediction_type):
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(4, 6, 2, generator=generator), torch.randn(4, 6, 2, generator=generator)
    alpha_bar = torch.tensor([0.99, 0.5, 0.2, 0.02])
    x_t = add_noise(x0, eps, alpha_bar)
    found = read_out(training_target(x0, eps, prediction_type), x_t, alpha_bar, prediction_type)
    torch.testing.assert_close(found.x0, x0, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.eps, eps, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("t", "times"),
    # alpha_bar_t = cos^2(((t + 1) / T + 0.008) / 1.008 * pi / 2) / cos^2(0.008 / 1.008 * pi / 2); at the last level
    # diffusers caps beta at 0.999, so that it is a thousandth of the one before.
    [(49, 1.01), (70, 2.06), (90, 7.10), (99, 2030)],
)
def test_an_error_of_the_noise_grows_as_the_docs_say(t, times):
    alpha_bar = alphas_cumprod(100)[t].view(1)
    x_t, output = torch.zeros(1, 1, 1), torch.full((1, 1, 1), 0.01)
    assert read_out(output, x_t, alpha_bar, "epsilon").x0.abs().item() == pytest.approx(0.01 * times, rel=0.01)
    assert read_out(output, x_t, alpha_bar, "sample").x0.item() == pytest.approx(0.01)
    assert amplification(alpha_bar).item() == pytest.approx(times, rel=0.01)


def test_clean_samples_are_read_from_noise_only_where_that_means_something():
    alphas = alphas_cumprod(100)
    assert last_readable_timestep(alphas, "sample") == 99
    last = last_readable_timestep(alphas, "epsilon")
    assert amplification(alphas[last]) <= 8 < amplification(alphas[last + 1])
    # tan((t + 1.8) / 100.8 * pi / 2) = 8 at t = 91.02; the schedule's first value, 0.9998, is taken for 1 here.
    assert last == 91


def test_an_unknown_type_is_refused():
    with pytest.raises(InputError, match="v_prediction"):
        read_out(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1), "v_prediction")
