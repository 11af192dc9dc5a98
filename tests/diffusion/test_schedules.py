"""Noise schedule and timesteps against the reference values of DP3's scheduler."""

import pytest
import torch

from lerobot_sdm.diffusion.schedules import add_noise, alphas_cumprod, ddim_timesteps
from lerobot_sdm.errors import InputError

# alpha_bar of the squared cosine schedule with T = 100, as DP3's scheduler has it.
REFERENCE_ALPHA_BAR = {
    0: 0.99937,
    9: 0.97209,
    19: 0.89871,
    29: 0.78691,
    39: 0.64748,
    49: 0.49384,
    59: 0.34081,
    69: 0.20312,
    79: 0.09405,
    89: 0.02409,
    99: 2.43e-7,
}


def test_alpha_bar_equals_the_reference_schedule():
    schedule = alphas_cumprod(100)
    assert schedule.shape == (100,)
    for t, value in REFERENCE_ALPHA_BAR.items():
        assert schedule[t].item() == pytest.approx(value, abs=6e-6 if t < 99 else 1e-8)


@pytest.mark.parametrize(
    ("steps", "spacing", "start", "expected"),
    [
        (10, "leading", None, [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]),
        (10, "trailing", None, [99, 89, 79, 69, 59, 49, 39, 29, 19, 9]),
        (2, "trailing", None, [99, 49]),
        (4, "trailing", None, [99, 74, 49, 24]),
        (1, "trailing", None, [99]),
        (1, "leading", None, [0]),
        (1, "trailing", 60, [60]),
        (2, "trailing", 59, [59, 29]),
        (100, "trailing", None, list(range(99, -1, -1))),
    ],
)
def test_timesteps(steps, spacing, start, expected):
    assert ddim_timesteps(100, steps, spacing, start) == expected


@pytest.mark.parametrize(
    ("arguments", "offender"),
    [
        ((100, 0), "num_inference_steps"),
        ((100, 101), "num_inference_steps"),
        ((100, 5, "sideways"), "timestep_spacing"),
        ((100, 1, "trailing", 100), "inference_start_timestep"),
        ((100, 1, "leading", 50), "inference_start_timestep"),
        ((100, 11, "trailing", 9), "num_inference_steps"),
    ],
)
def test_bad_timesteps_are_refused_by_name(arguments, offender):
    with pytest.raises(InputError, match=offender):
        ddim_timesteps(*arguments)


def test_add_noise_keeps_unit_variance_and_mixes_by_sample():
    alpha_bar = torch.tensor([1.0, 0.25, 0.0])
    x0, noise = torch.full((3, 2, 2), 4.0), torch.full((3, 2, 2), 2.0)
    x_t = add_noise(x0, noise, alpha_bar)
    assert torch.allclose(x_t[0], x0[0])
    assert torch.allclose(x_t[1], torch.full((2, 2), 0.5 * 4 + 0.75**0.5 * 2))
    assert torch.allclose(x_t[2], noise[2])
