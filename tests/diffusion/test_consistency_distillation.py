"""Consistency distillation: boundary, solver, loss and sampling, from hand derivations and the released numbers."""

import pytest
import torch

from lerobot_sdm.diffusion.consistency_distillation import (
    boundary_scalings,
    consistency_distillation_loss,
    consistency_function,
    consistency_sample,
    inference_timesteps,
    solver_step,
)
from lerobot_sdm.diffusion.predictions import Denoised, read_out
from lerobot_sdm.diffusion.schedules import add_noise, alphas_cumprod, ddim_timesteps
from lerobot_sdm.errors import InputError

ALPHAS = alphas_cumprod(100)
GRID = ddim_timesteps(100, 10)  # 99, 89, ... 9


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def test_boundary_scalings_are_the_released_ones():
    c_skip, c_out = boundary_scalings(torch.tensor([0, 9]))
    assert c_skip.flatten().tolist() == pytest.approx([1.0, 3.1e-5], rel=0.01)
    assert c_out.flatten().tolist() == pytest.approx([0.0, 0.99998], abs=1e-5)
    assert c_skip.shape == (2, 1, 1)


def test_at_the_boundary_the_function_is_the_identity():
    x = random(3, 4, 2)
    wrong = lambda x, t: x + 100  # noqa: E731
    assert torch.equal(consistency_function(wrong, x, torch.zeros(3, dtype=torch.long)), x)


def test_estimated_noise_leads_along_the_true_trajectory():
    """Where all data are one point m, the noise of x_t is known, and a step of any length is exact."""
    m, eps = torch.full((4, 3, 2), 0.3), random(4, 3, 2)
    t, s = torch.tensor([99, 70, 40, 9]), torch.tensor([60, 50, 20, 0])
    x_t = add_noise(m, eps, ALPHAS[t])
    teacher = read_out(m, x_t, ALPHAS[t], "sample")
    torch.testing.assert_close(solver_step(x_t, teacher, ALPHAS[t], ALPHAS[s]), add_noise(m, eps, ALPHAS[s]))


def test_released_noise_is_the_clean_estimate_again():
    """x_s is a multiple of x_0: the ten multiples of the published code, for s = 0, 9, ... 89."""
    s = torch.tensor([0, 9, 19, 29, 39, 49, 59, 69, 79, 89])
    x0 = torch.ones(10, 1, 1)
    found = solver_step(random(10, 1, 1), Denoised(x0, random(10, 1, 1)), ALPHAS[s], ALPHAS[s], noise="released")
    expected = [1.025, 1.153, 1.266, 1.349, 1.398, 1.414, 1.396, 1.343, 1.259, 1.143]
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-3)


def test_an_unknown_noise_is_refused():
    with pytest.raises(InputError, match="fresh"):
        solver_step(random(1, 1, 1), Denoised(random(1, 1, 1), random(1, 1, 1)), ALPHAS[:1], ALPHAS[:1], noise="fresh")


def loss(student, target, teacher, level, **more) -> torch.Tensor:
    return consistency_distillation_loss(
        student, target, teacher, random(4, 3, 2) * 0.3, random(4, 3, 2), level, GRID, ALPHAS, **more
    )


def test_the_true_consistency_function_has_no_loss():
    """For data that are one point, f = m is self-consistent under the teacher that knows m."""
    m = torch.zeros(4, 3, 2)
    knows = lambda x, t: m  # noqa: E731
    teacher = lambda x, t: read_out(m, x, ALPHAS[t], "sample")  # noqa: E731
    level = torch.tensor([0, 3, 8, 9])
    data_at_m = consistency_distillation_loss(knows, knows, teacher, m, random(4, 3, 2), level, GRID, ALPHAS)
    # At the last level the target is x_s itself, whose noise of variance 1 - alpha_bar_0 is left; and c_skip lets
    # 3.1e-5 of x_t through.
    assert data_at_m.item() < 1e-3
    ignorant = lambda x, t: m + 0.5  # noqa: E731
    assert loss(ignorant, knows, teacher, level).item() == pytest.approx(0.25, rel=0.05)


def test_only_the_student_gets_a_gradient():
    weights = {name: torch.tensor(0.7, requires_grad=True) for name in ("student", "target", "teacher")}
    denoiser = lambda name: lambda x, t: weights[name] * x  # noqa: E731
    teacher = lambda x, t: read_out(weights["teacher"] * x, x, ALPHAS[t], "sample")  # noqa: E731
    loss(denoiser("student"), denoiser("target"), teacher, torch.tensor([0, 2, 5, 9]), delta=0.03).backward()
    assert weights["student"].grad.abs() > 0
    assert weights["target"].grad is None
    assert weights["teacher"].grad is None


def test_neighboring_levels_are_compared():
    seen = {"student": [], "target": []}

    def denoiser(name):
        return lambda x, t: seen[name].append(t.tolist()) or x

    teacher = lambda x, t: read_out(x, x, ALPHAS[t], "sample")  # noqa: E731
    loss(denoiser("student"), denoiser("target"), teacher, torch.tensor([0, 1, 8, 9]))
    assert seen == {"student": [[99, 89, 19, 9]], "target": [[89, 79, 9, 0]]}


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, [99]), (2, [99, 49]), (3, [99, 69, 39]), (4, [99, 79, 49, 29]), (10, GRID)]
)
def test_inference_visits_levels_that_were_trained(steps, expected):
    assert inference_timesteps(GRID, steps) == expected


def test_each_jump_evaluates_the_network_once_and_is_clipped():
    seen = []

    def denoise(x, t):
        seen.append(t[0].item())
        return torch.full_like(x, 3.0)

    out = consistency_sample(denoise, random(2, 3, 2), [99, 49, 29], ALPHAS)
    assert seen == [99, 49, 29]
    assert torch.equal(out, torch.ones(2, 3, 2))


def test_later_jumps_start_from_the_result_noised_again():
    """A denoiser that gives its input back shows what it was given: sqrt(a) * first + sqrt(1 - a) * noise."""
    first = torch.full((2000, 1, 1), 0.5)
    inputs = []

    def denoise(x, t):
        inputs.append(x)
        return first

    torch.manual_seed(0)
    consistency_sample(denoise, random(2000, 1, 1), [99, 49], ALPHAS)
    a = ALPHAS[49]
    assert inputs[1].mean().item() == pytest.approx(0.5 * a.sqrt().item(), abs=0.05)
    assert inputs[1].std().item() == pytest.approx((1 - a).sqrt().item(), rel=0.05)
