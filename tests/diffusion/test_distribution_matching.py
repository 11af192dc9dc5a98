"""The matching gradient: sign, scale and weightings, derived by hand."""

import pytest
import torch

from lerobot_sdm.diffusion.distribution_matching import distribution_matching_gradient, surrogate_loss
from lerobot_sdm.diffusion.schedules import add_noise, alphas_cumprod
from lerobot_sdm.errors import InputError


def gradient(weighting: str, alpha_bar: float = 0.5, floor: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    x = torch.zeros(2, 1, 2)
    mu_real = scale * torch.tensor([[[1.0, 3.0]], [[2.0, 2.0]]])
    mu_fake = torch.zeros(2, 1, 2)
    alpha_bar = torch.full((2,), alpha_bar)
    return distribution_matching_gradient(x, torch.zeros(2, 1, 2), mu_real, mu_fake, alpha_bar, weighting, floor)


def test_per_sample_normalizer_is_each_samples_own_mean_distance():
    # mean|x - mu_real| is 2 for both samples; mu_fake - mu_real is -mu_real.
    torch.testing.assert_close(gradient("per_sample"), torch.tensor([[[-0.5, -1.5]], [[-1.0, -1.0]]]))


def test_per_sample_normalizer_has_a_floor():
    # Distances shrink to 0.02; with a floor of 0.2 the gradient shrinks along instead of staying at full size.
    torch.testing.assert_close(gradient("per_sample", floor=0.2, scale=0.01), gradient("per_sample") * 0.02 / 0.2)


def test_released_weighting_is_a_difference_of_scores_over_one_scalar():
    # Scores: fake 0, real sqrt(a) mu_real / (1 - a); their mean size over the batch is sqrt(a) * 2 / (1 - a).
    torch.testing.assert_close(gradient("released"), torch.tensor([[[-0.5, -1.5]], [[-1.0, -1.0]]]))


def test_released_weighting_lives_on_the_least_noisy_level():
    """The relative weights 22.4 ... 3e-4 of the reference are sqrt(a) / (1 - a) up to one factor."""
    reference = torch.tensor([22.4, 5.9, 2.6, 1.4, 0.88, 0.56, 0.36, 0.21, 0.10, 3e-4])
    levels = torch.arange(9, 100, 10)
    a = alphas_cumprod(100)[levels]
    zeros = torch.zeros(10, 1, 1)
    mu_real = torch.ones(10, 1, 1)
    result = distribution_matching_gradient(zeros, zeros, mu_real, zeros, a, "released").flatten().abs()
    ratio = result / reference
    torch.testing.assert_close(ratio[:9], ratio[:1].expand(9), rtol=0.05, atol=0)


def test_a_root_of_the_signal_power_is_left_out_as_in_the_papers_algorithm():
    """Its eqs. 7 and 8 together have it: w sqrt(a) (score_fake - score_real), w = (1 - a) / sqrt(a) / mean|x - mu|."""
    generator = torch.Generator().manual_seed(0)
    x, x_t, mu_real, mu_fake = (torch.randn(5, 2, 3, generator=generator) for _ in range(4))
    a = torch.tensor([0.99, 0.7, 0.4, 0.1, 0.01])
    column = a.view(-1, 1, 1)
    score_real, score_fake = (-(x_t - column.sqrt() * mu) / (1 - column) for mu in (mu_real, mu_fake))
    weight = (1 - column) / column.sqrt() / (x - mu_real).abs().mean((1, 2), keepdim=True)
    equations = weight * column.sqrt() * (score_fake - score_real)
    ours = distribution_matching_gradient(x, x_t, mu_real, mu_fake, a, "per_sample")
    torch.testing.assert_close(equations, column.sqrt() * ours)


def test_unknown_weighting_is_refused():
    with pytest.raises(InputError, match="sideways"):
        gradient("sideways")


def test_surrogate_loss_has_the_gradient_it_was_given():
    x = torch.randn(3, 2, 2, requires_grad=True)
    wanted = torch.randn(3, 2, 2)
    surrogate_loss(x, wanted).backward()
    torch.testing.assert_close(x.grad, wanted / wanted.numel())


@pytest.mark.parametrize("seed", range(3))
def test_descent_moves_a_gaussian_generator_onto_its_teacher(seed):
    """Generator N(m, s^2) by a learned shift; both scores are known exactly, so no network hides a wrong sign.

    With the floor: samples of a single entry come as close to the teacher's estimate as one likes, and without it such
    a sample throws the mean thousands of times as far as the others move it.
    """
    schedule = alphas_cumprod(100)
    target_mean, std = 0.7, 0.3

    def posterior_mean(x_t, a, mean):
        return mean + a.sqrt() * std**2 / (a * std**2 + 1 - a) * (x_t - a.sqrt() * mean)

    mean = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.SGD([mean], lr=0.5)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(200):
        x = mean + std * torch.randn(64, 1, 1, generator=generator)
        a = schedule[torch.randint(2, 98, (64,), generator=generator)]
        x_t = add_noise(x.detach(), torch.randn(64, 1, 1, generator=generator), a)
        a3 = a.view(-1, 1, 1)
        real, fake = posterior_mean(x_t, a3, target_mean), posterior_mean(x_t, a3, mean.detach())
        optimizer.zero_grad()
        surrogate_loss(x, distribution_matching_gradient(x.detach(), x_t, real, fake, a, floor=0.2)).backward()
        optimizer.step()
    assert mean.item() == pytest.approx(target_mean, abs=0.05)
