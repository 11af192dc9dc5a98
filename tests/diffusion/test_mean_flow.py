"""Mean flow against the closed form of a Gaussian: identity, derivatives, losses, times, and what it learns."""

import math

import pytest
import torch
from torch import Tensor, nn

from lerobot_sdm.diffusion.flow_matching import interpolate
from lerobot_sdm.diffusion.forward_derivative import forward_derivative, has_tangent
from lerobot_sdm.diffusion.mean_flow import (
    TIME_SAMPLERS,
    TimePairs,
    adaptive_loss,
    difference,
    direction_loss,
    dispersive_loss,
    draw_time_pairs,
    guided_velocity,
    jump_sample,
    mean_flow_target,
)

MEAN, STD = 0.3, 0.2


def sigma(t: Tensor) -> Tensor:
    """Standard deviation of z_t for data from N(MEAN, STD^2)."""
    return ((1 - t) ** 2 * STD**2 + t**2).sqrt()


def exact_v(z: Tensor, t: Tensor) -> Tensor:
    """E[e - x | z_t = z], by regression of jointly normal variables."""
    t = t.view(-1, 1, 1)
    return -MEAN + (z - (1 - t) * MEAN) * (t - (1 - t) * STD**2) / sigma(t) ** 2


def exact_u(z: Tensor, r: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
    """The flow maps quantiles to quantiles, so z_r = (1 - r) MEAN + (z - (1 - t) MEAN) sigma_r / sigma_t."""
    r, t = r.view(-1, 1, 1), t.view(-1, 1, 1)
    return -MEAN + (z - (1 - t) * MEAN) * (1 - sigma(r) / sigma(t)) / (t - r)


def drawn(count: int = 16, sampler: str = "uniform", still: float = 0.0) -> tuple[Tensor, TimePairs, Tensor]:
    generator = torch.Generator().manual_seed(0)
    times = draw_time_pairs(count, sampler, generator, still)
    z = torch.randn(count, 3, 2, generator=generator).double()
    return z, TimePairs(times.r.double(), times.t.double(), times.still), torch.zeros(count, 1).double()


def test_the_exact_average_velocity_fulfills_the_identity():
    z, times, cond = drawn()
    target = mean_flow_target(exact_u, z, exact_v(z, times.t), times, cond)
    torch.testing.assert_close(target, exact_u(z, times.r, times.t), atol=1e-12, rtol=0)


def test_jumps_compose_and_reach_the_data():
    z, times, _ = drawn()
    r, t = times.r, times.t
    middle = (r + t) / 2
    half = z - (t - middle).view(-1, 1, 1) * exact_u(z, middle, t)
    both = half - (middle - r).view(-1, 1, 1) * exact_u(half, r, middle)
    torch.testing.assert_close(both, z - (t - r).view(-1, 1, 1) * exact_u(z, r, t), atol=1e-12, rtol=0)
    for steps in (1, 4):
        torch.testing.assert_close(jump_sample(exact_u, z, steps), MEAN + STD * z, atol=1e-12, rtol=0)


def test_a_jump_of_no_length_changes_nothing():
    z = torch.randn(3, 4, 2)
    assert torch.equal(jump_sample(lambda z, r, t: torch.zeros_like(z), z, 3), z)
    t = torch.rand(3)
    assert torch.equal(z - (t - t).view(-1, 1, 1) * torch.randn(3, 4, 2), z)


class Network(nn.Module):
    """u of both times, small and smooth."""

    def __init__(self, entries: int = 6, width: int = 16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(entries + 3, width), nn.Tanh(), nn.Linear(width, entries))

    def forward(self, z: Tensor, r: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        inputs = torch.cat([z.flatten(1), r.unsqueeze(1), t.unsqueeze(1), cond], dim=1)
        return self.layers(inputs).view_as(z)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network().double()


def gradient(loss: Tensor, network: nn.Module) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, tuple(network.parameters()))])


def test_rows_without_a_jump_are_flow_matching_bit_for_bit(network):
    z, _, cond = drawn()
    t, v = torch.rand(16).double(), torch.randn(16, 3, 2).double()
    target = mean_flow_target(network, z, v, TimePairs(t, t, still=0), cond)  # Through the derivative.
    assert torch.equal(target, v)
    assert torch.equal(mean_flow_target(network, z, v, TimePairs(t, t, still=16), cond), v)
    u = network(z, t, t, cond)
    mine = adaptive_loss((u - target).square().flatten(1).mean(1), power=0, eps=1e-3)
    plain = (u - v).square().flatten(1).mean(1).mean()
    assert torch.equal(mine, plain)
    again = (network(z, t, t, cond) - v).square().flatten(1).mean(1).mean()
    assert torch.equal(gradient(mine, network), gradient(again, network))


def test_three_ways_to_the_derivative(network):
    """Forward under no_grad, reverse twice, and in the coordinates (z, t, t - r)."""
    z, (r, t, _), cond = drawn()
    v = torch.randn_like(z)
    ones = torch.ones_like(t)
    forward = forward_derivative(lambda z, t: network(z, r, t, cond), (z, t), (v, ones))
    assert not forward.requires_grad
    _, twice = torch.autograd.functional.jvp(lambda z, t: network(z, r, t, cond), (z, t), (v, ones))
    torch.testing.assert_close(forward, twice, atol=1e-12, rtol=1e-12)
    by_length = forward_derivative(
        lambda z, t, h: network(z, t - h, t, cond), (z, t, t - r), (v, ones, ones)
    )  # fmt: skip
    torch.testing.assert_close(forward, by_length, atol=1e-12, rtol=1e-12)


def test_a_difference_is_close_to_the_derivative(network):
    network, z = network.float(), drawn()[0].float()
    r, t = torch.full((16,), 0.1), torch.linspace(0.2, 0.9, 16)
    cond, v = torch.zeros(16, 1), torch.randn_like(z)
    exact = forward_derivative(lambda z, t: network(z, r, t, cond), (z, t), (v, torch.ones_like(t)))
    near = difference(lambda z, t: network(z, r, t, cond), z, t, v, 1e-2)
    assert (near - exact).norm() < 1e-3 * exact.norm()


def test_a_difference_stays_between_data_and_noise():
    seen = []

    def function(z: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        return z * t.view(-1, 1, 1)

    z, v, t = torch.ones(3, 1, 1).double(), torch.full((3, 1, 1), 2.0).double(), torch.tensor([0, 0.5, 1]).double()
    found = difference(function, z, t, v, 0.1).flatten()
    assert torch.cat(seen).min() >= 0
    assert torch.cat(seen).max() <= 1
    # d/ds (1 + 2 s)(t + s) = 2 t + 1 in the middle; one-sided, its mean over the interval of length 0.1.
    assert found.tolist() == pytest.approx([1.2, 2.0, 2.8])


def test_no_tangent_is_left_behind(network):
    t = torch.ones(2)
    forward_derivative(lambda t: t * 2, (t,), (t,))
    assert not has_tangent(t)
    assert torch.equal(forward_derivative(lambda _: torch.full((2,), 5.0), (t,), (t,)), torch.zeros(2))


def test_gradients_flow_through_the_prediction_alone(network):
    """2 J^T (u - target) w / n, by hand with the network's Jacobian."""
    z, times, cond = drawn(8)
    v = torch.randn_like(z)
    target = mean_flow_target(network, z, v, times, cond)
    assert not target.requires_grad
    u = network(z, times.r, times.t, cond)
    errors = (u - target).square().flatten(1).mean(1)
    found = gradient(adaptive_loss(errors, 0.5, 1e-3), network)
    weights = 1 / (errors.detach() + 1e-3).sqrt()
    by_hand = 2 * weights.view(-1, 1, 1) * (u.detach() - target) / (6 * 8)
    (network(z, times.r, times.t, cond) * by_hand).sum().backward()
    torch.testing.assert_close(found, torch.cat([p.grad.flatten() for p in network.parameters()]))


def test_guidance_doubles_gradients_and_moves_no_answer(network):
    z, (_, t, _), cond = drawn()
    v = torch.randn_like(z)
    assert guided_velocity(network, z, v, t, cond, 1.0) is v
    guided = guided_velocity(network, z, v, t, cond, 2.0)
    one, two = (gradient((network(z, t, t, cond) - target).square().mean(), network) for target in (v, guided))
    torch.testing.assert_close(two, 2 * one)
    # Where u is right, the guided velocity's mean is u again: v = u + noise of mean 0.
    noise = torch.randn_like(z)
    u = network(z, t, t, cond).detach()
    pair = sum(guided_velocity(network, z, u + sign * noise, t, cond, 2.0) for sign in (1, -1)) / 2
    torch.testing.assert_close(pair, u)


@pytest.mark.parametrize("sampler", TIME_SAMPLERS)
def test_times(sampler):
    r, t, still = draw_time_pairs(1001, sampler, torch.Generator().manual_seed(0), 0.3, 0.2)
    assert still == 300
    assert ((r == t).sum() == 300) or sampler == "v1"  # There, r may reach t by itself.
    assert torch.equal(r[:300], t[:300])
    assert (r[-200:] == 0).all()
    assert (t[-200:] == 1).all()
    assert (t >= r).all()
    assert 0 < r[:-200].min() < t[:-200].max() < 1


@pytest.mark.parametrize(("sampler", "share"), [("mp1", 0.00033), ("v1", 0.035), ("uniform", 0.020)])
def test_how_often_the_jump_of_a_policy_is_trained(sampler, share):
    """Share of pairs with r < 0.1 and t > 0.9 among those with r != t."""
    r, t, _ = draw_time_pairs(2_000_000, sampler, torch.Generator().manual_seed(0), 0)
    pairs = r < t
    found = ((t > 0.9) & (r < 0.1))[pairs].float().mean().item()
    assert found == pytest.approx(share, rel=0.15)


def test_means_of_mp1s_times():
    r, t, _ = draw_time_pairs(100_000, "mp1", torch.Generator().manual_seed(0), 0)
    assert (t.mean().item(), r.mean().item()) == pytest.approx((0.54, 0.30), abs=0.01)


def test_adaptive_weights():
    errors = torch.rand(5).requires_grad_()
    assert torch.equal(adaptive_loss(errors, 0, 0.01), errors.mean())
    torch.testing.assert_close(adaptive_loss(errors, 1, 0.01), (errors / (errors + 0.01)).mean())
    (found,) = torch.autograd.grad(adaptive_loss(errors, 0.5, 0.01), errors)
    torch.testing.assert_close(found, 1 / (errors.detach() + 0.01).sqrt() / 5)


def test_dispersive_loss():
    features = torch.randn(128, 10, 4)
    loss = dispersive_loss(features, 1.0)
    lowest = math.log(1 / 128 + (1 - 1 / 128) / math.e)
    assert lowest == pytest.approx(-0.987, abs=1e-3)
    assert lowest < loss <= 0
    torch.testing.assert_close(dispersive_loss(100 * features, 1.0), loss)
    torch.testing.assert_close(dispersive_loss(features.flip(0) + 3, 1.0), loss)
    pair = torch.tensor([[0.0], [1.0]])
    assert dispersive_loss(pair, 0.5).item() == pytest.approx(math.log((1 + math.exp(-2)) / 2))
    for degenerate in (features[:1], torch.ones(4, 3)):
        degenerate = degenerate.clone().requires_grad_()
        loss = dispersive_loss(degenerate, 1.0)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-6)
        assert degenerate.grad.isfinite().all()


def test_direction_loss():
    """-log((cos + 1) / 2): 0 where parallel, log 2 where orthogonal; dL/dangle = tan(angle / 2)."""
    v = torch.tensor([[[1.0, 0.0]]])
    assert direction_loss(3 * v, v).item() == pytest.approx(0, abs=1e-6)
    assert direction_loss(v.flip(-1), v).item() == pytest.approx(math.log(2), abs=1e-6)
    assert direction_loss(-v, v).isfinite()
    angle = torch.tensor(1.0, requires_grad=True)
    turned = torch.stack([angle.cos(), angle.sin()]).view(1, 1, 2)
    direction_loss(turned, v).backward()
    assert angle.grad.item() == pytest.approx(math.tan(0.5), abs=1e-5)
    real = torch.tensor([[True, False]])
    padded = direction_loss(torch.tensor([[[1.0], [5.0]]]), torch.tensor([[[2.0], [-9.0]]]), real)
    assert padded.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("data", ["normal", "two modes"])
def test_a_trained_network_samples_the_data_in_one_step(data):
    """One number; N(0.3, 0.2^2), or -1 and 1 equally often, where one step of flow matching would be 0 throughout."""
    torch.manual_seed(0)
    network, random = Network(entries=1, width=64), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    cond = torch.zeros(BATCH, 1)
    for _ in range(STEPS):
        noise = torch.randn(BATCH, 1, 1, generator=random)
        if data == "normal":
            x = MEAN + STD * torch.randn(BATCH, 1, 1, generator=random)
        else:
            x = 2.0 * torch.randint(2, (BATCH, 1, 1), generator=random) - 1
        times = draw_time_pairs(BATCH, "v1", random, 0.25, 0.1)
        z = interpolate(x, noise, times.t)
        target = mean_flow_target(network, z, noise - x, times, cond)
        loss = (network(z, times.r, times.t, cond) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    start = torch.randn(2000, 1, 1, generator=random)
    with torch.no_grad():
        samples = jump_sample(lambda z, r, t: network(z, r, t, torch.zeros(len(z), 1)), start, 1).flatten()
    if data == "normal":
        assert samples.mean().item() == pytest.approx(MEAN, abs=0.05)
        assert samples.std().item() == pytest.approx(STD, abs=0.05)
    else:
        assert (samples.abs() < 0.5).float().mean() < 0.2
        assert 0.4 < (samples > 0).float().mean() < 0.6


STEPS, BATCH = 1000, 512
