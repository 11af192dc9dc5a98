"""The study of one-step students where the answer is known: its mathematics, and a small run of SDM."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lerobot_sdm.files import read_json

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "examples" / "studies"


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STUDIES)
        import gaussian_mixture
        import mixture_sdm
        import mixture_training

        shared = {"measure": gaussian_mixture.measure, "table": gaussian_mixture.table, "PARTS": gaussian_mixture.PARTS}
        yield SimpleNamespace(**shared, Student=mixture_sdm.Student, **vars(mixture_training))


def test_the_docs_have_the_table_of_the_committed_study(study):
    seeds = read_json(ROOT / "results" / "gaussian_mixture" / "table.json")["seeds"]
    assert len(seeds) == 3
    assert study.table(seeds) in (ROOT / "docs" / "gaussian_mixture.md").read_text()


def test_perfect_denoiser_follows_from_the_density(study):
    """Tweedie: E[x_0 | x] = (x + noise^2 grad log p(x)) / signal, with the gradient by autograd."""
    mixture = study.Mixture(0)
    cond, signal, noise = torch.randn(5, 4), torch.full((5,), 0.8), torch.tensor([0.1, 0.5, 1.0, 3.0, 9.0])
    x = torch.randn(5, 4, 4, requires_grad=True)
    variance = (signal**2 * mixture.std**2 + noise**2).view(-1, 1)
    squares = (x.unsqueeze(1) - signal.view(-1, 1, 1, 1) * mixture.modes(cond)).square().sum((2, 3))
    torch.logsumexp(-squares / (2 * variance), dim=1).sum().backward()
    expected = (x + noise.view(-1, 1, 1) ** 2 * x.grad) / signal.view(-1, 1, 1)
    found = mixture.posterior_mean(x.detach(), cond, signal, noise)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=1e-3)


def test_the_modes_are_where_they_are_said_to_be(study):
    modes = study.Mixture(0).modes(torch.randn(100, 4))
    torch.testing.assert_close((modes[:, 0] - modes[:, 1]).flatten(1).norm(dim=1), torch.full((100,), 3.52))


def test_heun_with_the_perfect_denoiser_gives_the_truth(study):
    mixture, size = study.Mixture(0), study.Size(conditions=24, samples=64)

    def perfect(x, sigma, cond):
        return mixture.posterior_mean(x, cond, torch.ones_like(sigma), sigma)

    found = study.measure(mixture, size, partial(study.heun, perfect, steps=40))
    assert abs(found["energy"]) < 0.02
    assert found["both"] == 1
    assert found["between"] == 0
    assert found["off_mode"] == pytest.approx(4 * mixture.std, rel=0.2)  # 16 entries of this deviation
    assert "| Heun | 80 |" in study.table([{"Heun": {"evaluations": 80, **found}}])


def test_sdm_is_closer_to_the_truth_than_its_teacher_and_than_regression(study, tmp_path):
    size = study.Size(teacher=1500, batch=96, width=96, conditions=32, samples=64)
    run = study.Run(study.Mixture(0), size, 1, tmp_path)
    teacher = run.kept("teacher", run.teacher)
    measure = partial(study.measure, run.mixture, size)

    def student(recipe):
        parts = replace(study.PARTS[recipe], steps=1500)
        net = run.kept(recipe, study.Student(run, teacher, parts).train)
        return measure(lambda noise, cond: net(noise, torch.full((len(noise),), study.START), cond=cond))

    ten = measure(partial(study.ddim, teacher))
    one = measure(partial(study.ddim, teacher, steps=1))
    sdm, regression = student("sdm"), student("regression")
    assert sdm["both"] > 0.9
    assert regression["energy"] < one["energy"] / 4
    assert sdm["energy"] < min(ten["energy"], regression["energy"]) - 0.02
