"""DiffTORI's optimizer and networks against dense solves, finite differences and hand calculations."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian

from lerobot_sdm.policies.difftori.networks import Posterior, RewardNetwork, divergence_from_prior
from lerobot_sdm.policies.difftori.trajectory_optimization import Optimization, damped_step, optimize

SHORT = Optimization(iterations=7, step_size=1e-3, damping=1.28, offset=1000.0, clip_range=1.0, recorded=3)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def network() -> RewardNetwork:
    """A reward of features (5), latent (2) and chunks (3, 2), in double precision."""
    return RewardNetwork(feature_dim=5, latent_dim=2, chunk_dim=6, hidden_dim=8).double()


@pytest.fixture
def context(network) -> torch.Tensor:
    return network.context(torch.randn(4, 5).double(), torch.randn(4, 2).double()).detach()


@pytest.fixture
def start() -> torch.Tensor:
    return torch.empty(4, 3, 2).double().uniform_(-0.9, 0.9)


def gradient_and_residual(network, chunk, context):
    chunk = chunk.clone().requires_grad_()
    rewards = network(chunk, context)
    return torch.autograd.grad(rewards.sum(), chunk)[0], 1000 - rewards.detach()


@pytest.mark.parametrize("group", [1, 2, 4])
def test_the_closed_form_solves_the_dense_system(network, context, start, group):
    """(J'J + l I) d = -J'r with the Jacobian of each group's residual, and the damping shared among its samples."""
    gradient, residual = gradient_and_residual(network, start, context)
    found = damped_step(gradient, residual, damping=1.28, group=group)
    for first in range(0, len(start), group):
        members = slice(first, first + group)

        def shared_residual(chunks, members=members):
            return (1000 - network(chunks, context[members])).mean()

        row = jacobian(shared_residual, start[members]).flatten()[None]
        system = row.T @ row + 1.28 / group * torch.eye(row.shape[1]).double()
        expected = torch.linalg.solve(system, -row[0] * shared_residual(start[members]))
        assert expected.norm() > 10
        torch.testing.assert_close(found[members].flatten(), expected.detach(), rtol=1e-9, atol=1e-9)


def test_identical_samples_are_optimized_alike_alone_and_together(network, context, start):
    same, where = start[:1].expand(4, -1, -1), context[:1].expand(4, -1)
    alone = optimize(network, same, where, SHORT)
    torch.testing.assert_close(optimize(network, same, where, SHORT, group=4), alone)
    different = optimize(network, start, context, SHORT, group=4)
    assert not torch.allclose(different, optimize(network, start, context, SHORT))


def test_a_chunk_alone_does_not_depend_on_its_batch(network, context, start):
    together = optimize(network, start, context, SHORT)
    torch.testing.assert_close(optimize(network, start[2:3], context[2:3], SHORT), together[2:3])


def test_one_step_by_hand():
    """R = 2 a: g = 2 and d = g (1000 - R) / (1 + g^2), at a = 0.5 that is 2 * 999 / 5; a thousandth of it is taken."""
    how = Optimization(iterations=1, step_size=1e-3, damping=1.0, offset=1000.0, clip_range=1.0, recorded=0)
    reward = lambda chunk, _: 2 * chunk.flatten(1).sum(1)  # noqa: E731
    inside, beyond = torch.full((1, 1, 1), 0.5), torch.full((1, 1, 1), 1.5)
    torch.testing.assert_close(optimize(reward, inside, inside[:, 0], how), torch.full((1, 1, 1), 0.5 + 0.3996))
    # Beyond the range the reward no longer grows; without a range it does.
    assert torch.equal(optimize(reward, beyond, beyond[:, 0], how), beyond)
    free = optimize(reward, beyond, beyond[:, 0], replace(how, clip_range=None))
    torch.testing.assert_close(free, torch.full((1, 1, 1), 1.5 + 2 * 997 / 5 * 1e-3))


def test_no_iteration_moves_farther_than_the_damping_allows():
    """0.03 |g| / (1.28 + |g|^2) is largest at |g|^2 = 1.28: 0.01326."""
    slopes = torch.logspace(-3, 3, 400)
    moves = 3e-5 * damped_step(slopes[:, None, None], torch.full((400,), 1000.0), damping=1.28).abs()
    assert moves.max() == pytest.approx(0.01326, abs=1e-5)


def test_a_flat_reward_leaves_the_start_as_it_is(start):
    flat = lambda chunk, context: context.sum(1) + 0 * chunk.flatten(1).sum(1)  # noqa: E731
    assert torch.equal(optimize(flat, start, start.flatten(1), SHORT), start)


def test_the_reward_rises(network, context, start):
    before = network(start, context)
    after = network(optimize(network, start, context, replace(SHORT, iterations=100)), context)
    assert (after > before).all()


@pytest.mark.parametrize("recorded", [1, 3, 7])
@pytest.mark.parametrize("group", [1, 4])
def test_the_truncated_gradient_is_that_of_the_last_steps(network, context, start, recorded, group):
    """Finite differences of a loss through the last steps alone, which begin where the earlier ones ended."""
    how = replace(SHORT, recorded=recorded)
    target = torch.zeros_like(start)
    loss = (optimize(network, start, context, how, group) - target).square().sum()
    gradients = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True)
    with torch.no_grad():
        reached = optimize(network, start, context, replace(how, iterations=how.iterations - recorded), group)
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            direction = torch.randn_like(parameter)
            ends = []
            for shift in (1e-5, -1e-5):
                parameter.add_(shift * direction)
                chunk = optimize(network, reached, context, replace(how, iterations=recorded), group)
                ends.append((chunk - target).square().sum())
                parameter.sub_(shift * direction)
            expected = (ends[0] - ends[1]) / 2e-5
            found = torch.zeros(()) if gradient is None else (gradient * direction).sum()
            assert found.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-9)
    assert any(gradient is not None and gradient.abs().max() > 1e-6 for gradient in gradients)


def test_values_are_the_same_where_nothing_is_recorded(network, context, start):
    expected = optimize(network, start, context, SHORT)
    assert expected.requires_grad
    with torch.no_grad():
        silent = optimize(network, start, context, SHORT)
    with torch.inference_mode():
        # What a policy hands over there has itself been computed in inference mode.
        inferred = optimize(network, start.clone(), context.clone(), SHORT)
    for found in (silent, inferred):
        assert not found.requires_grad
        torch.testing.assert_close(found, expected.detach())
    assert not torch.allclose(inferred, start)
    assert not optimize(network, start, context, replace(SHORT, recorded=0)).requires_grad


def test_the_reward_is_one_mlp_over_everything():
    network = RewardNetwork(5, 2, 6, 8)
    features, latent, chunk = torch.randn(4, 5), torch.randn(4, 2), torch.randn(4, 3, 2)
    whole = nn.Sequential(network.first, *network.further)(torch.cat([features, latent, chunk.flatten(1)], dim=1))
    torch.testing.assert_close(network(chunk, network.context(features, latent)), whole.squeeze(1))


def test_published_sizes():
    """Features 2 x 128, latent 64, four actions of four: 336 -> 256 -> 256 -> 1 and 272 -> 256 -> 256 -> 128."""
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(RewardNetwork(256, 64, 16, 256)) == 336 * 256 + 256 + 256 * 256 + 256 + 256 + 1
    assert count(Posterior(256, 16, 64, 256)) == 272 * 256 + 256 + 256 * 256 + 256 + 256 * 128 + 128


def test_the_divergence_is_that_of_two_gaussians():
    mean, log_variance = torch.randn(4, 3), torch.randn(4, 3)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence_from_prior(mean, log_variance), expected)
    assert divergence_from_prior(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0
