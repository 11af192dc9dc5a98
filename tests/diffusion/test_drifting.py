"""The drifting field: what it is invariant to, where it vanishes, its gradient, and what it does with two modes."""

import math

import pytest
import torch
from torch import nn

from lerobot_sdm.diffusion.drifting import affinities, drift, drifting_loss, force, grouped, spread
from lerobot_sdm.policies.drift.collapse import MEMORY, CollapseWatch

TEMPERATURES = (0.02, 0.05, 0.2)
RELEASED = 1e-6


def drawn(batch: int = 3, count: int = 4, size: int = 6, positives: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(1, batch, count, size, generator=generator).double(),
        torch.randn(1, batch, positives, size, generator=generator).double(),
    )


@pytest.mark.parametrize("floor", [0.0, RELEASED])
def test_the_field_depends_on_shapes_alone(floor):
    """On neither place, scale nor order of the samples."""
    x, y = drawn()
    v = drift(x, y, TEMPERATURES, floor)
    moved = drift(10 + 3 * x, 10 + 3 * y, TEMPERATURES, floor)
    torch.testing.assert_close(moved.field, v.field, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved.unit, 3 * v.unit, atol=1e-6, rtol=1e-5)
    turned = drift(x.flip(2), y, TEMPERATURES, floor)
    torch.testing.assert_close(turned.field, v.field.flip(2), atol=1e-5, rtol=1e-5)


def test_far_away_candidates_do_not_matter():
    """The coefficients of a force add up to 0, so that its place does not matter: here 1e6 away."""
    x, y = drawn()
    near = force(x, torch.cat([x, y], 2), affinity := affinities(torch.rand(1, 3, 4, 5).double(), 0.2, 0.0), 1)
    far = force(x + 1e6, torch.cat([x, y], 2) + 1e6, affinity, 1)
    torch.testing.assert_close(far, near, atol=1e-8, rtol=1e-8)


def test_a_single_sample_is_pulled_straight_and_with_the_same_strength_from_anywhere():
    x, y = drawn(batch=1, count=1)
    for scale in (0.1, 10):
        v = drift(y + scale * (x - y), y, TEMPERATURES, RELEASED).field
        assert v.square().mean().sqrt().item() == pytest.approx(len(TEMPERATURES))
        assert torch.cosine_similarity(v.flatten(), (y - x).flatten(), dim=0).item() == pytest.approx(1)


def test_samples_at_the_demonstration_stay():
    _, y = drawn()
    found = drift(y.expand(-1, -1, 4, -1).float(), y.float(), TEMPERATURES)
    assert torch.equal(found.field, torch.zeros_like(found.field))
    assert found.field.isfinite().all()


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_swapping_positives_and_others_turns_the_force_around(temperature):
    x, y = drawn(positives=4)
    other = torch.randn_like(y)
    affinity = affinities(torch.rand(1, 3, 4, 8).double(), temperature, 0.0)
    swapped = torch.cat([affinity[..., 4:], affinity[..., :4]], dim=-1)
    one = force(x, torch.cat([other, y], 2), affinity, 4)
    two = force(x, torch.cat([y, other], 2), swapped, 4)
    torch.testing.assert_close(one, -two)


@pytest.mark.parametrize("floor", [0.0, RELEASED])
def test_samples_of_the_right_distribution_do_not_drift_on_average(floor):
    """Up to sampling error; those that are too wide drift inward, those that are too narrow outward."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(1, 20_000, count, 4, generator=generator) for count in (5, 4))
    right, wide, narrow = (
        (drift(scale * x, y, TEMPERATURES, floor).field * x).mean().item() for scale in (1.0, 1.5, 0.67)
    )
    assert abs(right) < 0.02
    assert wide < -0.2
    assert narrow > 0.2


def test_the_gradient_is_the_field():
    """dL/dx = -2 V / (unit G S B), and L = mean V^2; no gradient flows through field and unit."""
    x, y = drawn()
    x, y = x.requires_grad_(), y.requires_grad_()
    found = drift(x, y, TEMPERATURES)
    loss = drifting_loss(x, found)
    (gradient,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(gradient, -2 * found.field / (found.unit * x.numel()))
    assert loss.item() == pytest.approx(found.field.square().mean().item())
    assert not found.field.requires_grad
    assert y.grad is None


def test_where_all_temperatures_agree_the_loss_is_their_number_squared():
    """It is no measure of progress."""
    _, y = drawn(batch=2)
    close = y + 1e-2 * torch.randn(1, 2, 4, 6, generator=torch.Generator().manual_seed(1)).double() - 1
    loss = drifting_loss(close, drift(close, y, TEMPERATURES, RELEASED)).item()
    assert 8 < loss <= 9.01


def test_affinities():
    distances = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    rows = torch.softmax(-distances / 0.5, -1)
    torch.testing.assert_close(affinities(distances, 0.5, 0.0), (rows * torch.softmax(-distances / 0.5, -2)).sqrt())
    far = affinities(60 * distances.float(), 1.0, 0.0)
    assert far.min().item() == pytest.approx(math.exp(-60))  # The product below the root would be 0 in float32.
    assert affinities(100 * distances, 0.5, RELEASED).min() == pytest.approx(1e-3)


def test_groups():
    """Each step, or each dimension, drifts as if it were alone."""
    x, y = torch.randn(2, 4, 3, 2), torch.randn(2, 1, 3, 2)
    assert grouped(x, "chunk").shape == (1, 2, 4, 6)
    for group, place in (("step", 2), ("dim", 3)):
        whole = drift(grouped(x, group), grouped(y, group), TEMPERATURES)
        for k, (own, wanted) in enumerate(zip(x.unbind(place), y.unbind(place), strict=True)):
            alone = drift(own.unsqueeze(0), wanted.unsqueeze(0), TEMPERATURES)
            torch.testing.assert_close(whole.field[k], alone.field[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(whole.unit[k], alone.unit[0])


def test_spread():
    """Samples -1 and 3 around 1, one entry; the demonstration at 4."""
    variance, error = spread(torch.tensor([-1.0, 3.0]).view(1, 2, 1, 1), torch.full((1, 1, 1), 4.0))
    assert variance.item() == 8
    assert error.item() == 9


def samples_of_a_toy(floor: float, residual: bool, size: int = 16) -> tuple[torch.Tensor, CollapseWatch]:
    """One observation whose demonstrations are -1 and 1 in all entries, equally often."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, size))
    optimizer, watch = torch.optim.Adam(network.parameters(), lr=5e-4), CollapseWatch()
    for _ in range(400):
        y = (2.0 * torch.randint(2, (64, 1, 1)) - 1).expand(-1, 1, size)
        noise = torch.randn(64 * 4, size)
        x = (network(noise) + residual * noise).view(1, 64, 4, size)
        loss = drifting_loss(x, drift(x.detach(), y.unsqueeze(0), TEMPERATURES, floor))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        variance, error = spread(x[0].detach().unsqueeze(-1), y.transpose(1, 2))
        watch.look(variance.item(), error.item())
    noise = torch.randn(1000, size)
    return (network(noise) + residual * noise).detach(), watch


@pytest.mark.parametrize(
    ("floor", "residual", "collapses"), [(RELEASED, False, True), (0.0, False, False), (0.0, True, False)]
)
def test_far_candidates_that_pull_make_samples_collapse(floor, residual, collapses, caplog):
    """To the middle, where no demonstration is; the others keep both answers, if broadly."""
    samples, watch = samples_of_a_toy(floor, residual)
    assert watch.collapsed is collapses
    assert ("have collapsed" in caplog.text) is collapses
    shares = [found.float().mean().item() for found in (samples.mean(1) < -0.5, samples.mean(1) > 0.5)]
    assert sum(shares) < 0.05 if collapses else min(shares) > 0.2


def test_the_warning_comes_once_and_only_for_samples_that_miss(caplog):
    good, bad = CollapseWatch(), CollapseWatch()
    for _ in range(MEMORY - 1):
        good.look(1e-6, 1.25e-6)  # One answer, almost hit: as close to each other as to the demonstration.
        bad.look(0.001, 1.0)
    assert caplog.text == ""
    for _ in range(5):
        good.look(1e-6, 1.25e-6)
        bad.look(0.001, 1.0)
    assert not good.collapsed
    assert caplog.text.count("have collapsed") == 1
