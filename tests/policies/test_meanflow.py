"""The mean flow policy's network and its derivative, MP1's recipe, and what it refuses."""

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from observation_kinds import batch
from test_one_step import policy, training_batch
from torch import nn

from lerobot_sdm.diffusion.forward_derivative import forward_derivative
from lerobot_sdm.diffusion.mean_flow import difference
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbones import BACKBONES
from lerobot_sdm.policies.meanflow.configuration_meanflow import RECIPES
from lerobot_sdm.policies.meanflow.modeling_meanflow import check_derivative


def inputs(p, count: int = 5) -> tuple[torch.Tensor, ...]:
    """z, r, t, tangent of z, condition."""
    random = torch.Generator().manual_seed(3)
    z, v = torch.randn(2, count, 8, 2, generator=random)
    r, t = torch.rand(2, count, generator=random).sort(0).values
    return z, r, t, v, torch.randn(count, p.model.cond_dim, generator=random)


@pytest.mark.parametrize("time_pair", ["t_h", "t_r"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_three_ways_to_the_derivative_of_the_network(backbone, time_pair, dtype, tolerance):
    """Forward without and with gradients enabled, and reverse twice."""
    p = policy("meanflow", training=True, backbone=backbone, time_pair=time_pair).train()
    p.model.to(dtype)
    z, r, t, v, cond = (x.to(dtype) for x in inputs(p))

    def u(z, t):
        return p.model.average_velocity(z, r, t, cond)

    forward = forward_derivative(u, (z, t), (v, torch.ones_like(t)))
    _, graded = torch.func.jvp(u, (z, t), (v, torch.ones_like(t)))
    _, twice = torch.autograd.functional.jvp(u, (z, t), (v, torch.ones_like(t)))
    torch.testing.assert_close(forward, graded, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(forward, twice, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("time_pair", ["t_h", "t_r"])
def test_a_difference_of_the_network_comes_close(time_pair):
    """With the square of its step; groups of one channel, as here, make a network more curved than a usual one."""
    p = policy("meanflow", time_pair=time_pair)
    p.model.double()
    z, r, t, v, cond = (x.double() for x in inputs(p))
    r, t = 0.1 * r, 0.1 + 0.8 * t

    def u(z, t):
        return p.model.average_velocity(z, r, t, cond)

    exact = forward_derivative(u, (z, t), (v, torch.ones_like(t)))
    with torch.no_grad():
        errors = [(difference(u, z, t, v, step) - exact).norm() / exact.norm() for step in (1e-2, 1e-3)]
    assert errors[0] < 2e-2
    assert errors[1] < errors[0] / 50


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_cache_of_times_keeps_no_derivative_out(backbone):
    """At evaluation the U-Net caches what a constant time contributes: the second derivative must be the first."""
    p = policy("meanflow", backbone=backbone)
    z, _, _, v, cond = inputs(p)
    r, t = torch.zeros(5), torch.ones(5)

    def derivative():
        return forward_derivative(lambda z, t: p.model.average_velocity(z, r, t, cond), (z, t), (v, torch.ones_like(t)))

    with torch.no_grad():
        before = p.model.average_velocity(z, r, t, cond)
        first, second = derivative(), derivative()
        after = p.model.average_velocity(z, r, t, cond)
    assert torch.equal(first, second)
    torch.testing.assert_close(before, after)
    p.train()
    torch.testing.assert_close(derivative(), first, atol=1e-5, rtol=1e-4)
    moves = forward_derivative(lambda t: p.model.average_velocity(z, r, t, cond), (t,), (torch.ones_like(t),))
    assert moves.abs().max() > 1e-4  # Time contributes, or nothing would have been shown.


@pytest.mark.parametrize("backbone", BACKBONES)
def test_both_times_matter(backbone):
    p = policy("meanflow", backbone=backbone, clip_sample_range=None)
    z, r, t, _, cond = inputs(p)
    u = p.model.average_velocity(z, r, t, cond)
    assert not torch.equal(u, p.model.average_velocity(z, r / 2, t, cond))
    assert not torch.equal(u, p.model.average_velocity(z, r, (1 + t) / 2, cond))


def test_one_step_is_the_jump_from_noise_to_data():
    p = policy("meanflow", clip_sample_range=None)
    noise, cond = torch.randn(3, 8, 2), p.model.encode(batch())
    expected = noise - p.model.average_velocity(noise, torch.zeros(3), torch.ones(3), cond)
    torch.testing.assert_close(p.actions_from_noise(p.model, noise, cond), expected)


def test_the_recipe_of_mp1():
    p = policy("meanflow", training=True, recipe="mp1").train()
    for name, value in RECIPES["mp1"].items():
        assert getattr(p.config, name) == value
    assert policy("meanflow", recipe="mp1", guidance=1.0).config.guidance == 1.0
    _, told = p.forward(training_batch())
    assert told.keys() == {"velocity_error", "dispersive_loss"}
    assert told["dispersive_loss"] < 0


@pytest.mark.parametrize("levels", [(8,), (8, 16), (8, 16, 24), (8, 16, 24, 24)])
def test_features_that_are_dispersed(levels):
    """Those of the first two levels, but not of the coarsest."""
    p = policy("meanflow", training=True, recipe="mp1", down_dims=levels).train()
    widths = [layer for layer in p.model.unet.early_layers()]
    assert len(widths) == {1: 1, 2: 1}.get(len(levels), 2)
    p.forward(training_batch())[0].backward()
    assert not any(layer._forward_hooks for layer in widths)


def test_more_losses_are_logged():
    p = policy("meanflow", training=True, direction_weight=0.1, derivative="difference").train()
    loss, told = p.forward(training_batch())
    assert told.keys() == {"velocity_error", "direction_loss"}
    p.config.direction_weight = 0.0
    assert loss.item() == pytest.approx(p.forward(training_batch())[0].item() + 0.1 * told["direction_loss"], rel=1e-5)


def test_mixed_precision_is_refused_before_training():
    with pytest.raises(InputError, match=r"^--policy\.use_amp=true: a meanflow policy learns from a derivative"):
        policy("meanflow", training=True, use_amp=True)
    policy("meanflow", use_amp=True)  # It may act so.
    with torch.autocast("cpu"), pytest.raises(InputError, match=r"^torch\.autocast\('cpu'\): a meanflow policy"):
        policy("meanflow", training=True)
    p = policy("meanflow", training=True).train()
    with torch.autocast("cpu"), pytest.raises(InputError, match=r"^torch\.autocast\('cpu'\)"):
        p.forward(training_batch())


def test_accelerates_mixed_precision_is_refused_before_training():
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        Accelerator(mixed_precision="bf16", cpu=True)
        with pytest.raises(InputError, match=r"^mixed_precision=bf16, in accelerate's configuration"):
            policy("meanflow", training=True)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


class Attending(nn.Module):
    """A network of chunks with torch's own attention, which it fuses."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, z, timestep, second, global_cond):
        return self.attention(z, z, z, need_weights=False)[0] * timestep.view(-1, 1, 1)


def test_fused_attention_is_refused_before_training():
    p = policy("meanflow", training=True)
    check_derivative(p.model)
    p.model.unet = Attending()
    with pytest.raises(InputError, match=r"^--policy\.derivative=forward: .*derivative=difference"):
        check_derivative(p.model)
