"""Convolutions without their dead taps give what whole ones give; which taps are dead is worked out by hand."""

import copy
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot.policies.diffusion.modeling_diffusion import DiffusionConditionalUnet1d
from torch import nn

from lerobot_sdm.nets.temporal_unet import TemporalUnet
from lerobot_sdm.nets.trimmed_convolution import TrimmedConv1d, TrimmedConvTranspose1d, whole_size


def unet_config(**changes) -> SimpleNamespace:
    values = {
        "horizon": 4,
        "action_feature": SimpleNamespace(shape=(3,)),
        "down_dims": (8, 16, 32),
        "kernel_size": 5,
        "n_groups": 4,
        "diffusion_step_embed_dim": 8,
        "use_film_scale_modulation": True,
        "gradient_checkpointing": False,
        "blocks_per_level": 2,
    }
    return SimpleNamespace(**values | changes)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "length", "first", "stop"),
    [
        # U-Net blocks: an output at o meets inputs o - 2 to o + 2, of which 0 to length - 1 exist.
        (5, 1, 2, 4, 0, 5),
        (5, 1, 2, 2, 1, 4),
        (5, 1, 2, 1, 2, 3),
        # Halving: the one output of two inputs meets -1, 0, 1; the two of four meet -1 to 3.
        (3, 2, 1, 2, 1, 3),
        (3, 2, 1, 4, 0, 3),
    ],
)
def test_taps_of_a_convolution(kernel, stride, padding, length, first, stop):
    conv = TrimmedConv1d(nn.Conv1d(2, 2, kernel, stride, padding), length)
    assert (conv.first, conv.stop) == (first, stop)


@pytest.mark.parametrize(("length", "first", "stop"), [(1, 1, 3), (2, 0, 4)])
def test_taps_of_a_doubling(length, first, stop):
    """Input i reaches outputs 2 i - 1 to 2 i + 2, of which 0 to 2 length - 1 exist."""
    conv = TrimmedConvTranspose1d(nn.ConvTranspose1d(2, 2, 4, 2, 1), length)
    assert (conv.first, conv.stop) == (first, stop)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kernel=st.integers(1, 6),
    stride=st.integers(1, 3),
    length=st.integers(1, 9),
    batch=st.sampled_from((1, 3, 40)),
    transposed=st.booleans(),
    data=st.data(),
)
def test_outputs_and_gradients_are_those_of_the_whole(kernel, stride, length, batch, transposed, data):
    padding = data.draw(st.integers(0, (kernel - 1) // 2))
    if length + 2 * padding < kernel:
        length = kernel
    torch.manual_seed(0)
    whole = (nn.ConvTranspose1d if transposed else nn.Conv1d)(3, 5, kernel, stride, padding).double()
    live = (TrimmedConvTranspose1d if transposed else TrimmedConv1d)(copy.deepcopy(whole), length)
    x = torch.randn(batch, 3, length, dtype=torch.double)
    expected, found = whole(x), live(x)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    torch.testing.assert_close(live.weight.grad, whole.weight.grad[..., live.first : live.stop])
    torch.testing.assert_close(live.bias.grad, whole.bias.grad)
    # What was left out never mattered.
    dead = torch.ones(kernel, dtype=torch.bool)
    dead[live.first : live.stop] = False
    assert not whole.weight.grad[..., dead].any()


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("horizon", [4, 8, 16])
def test_the_network_gives_what_lerobots_gives(horizon, blocks):
    config = unet_config(horizon=horizon, blocks_per_level=blocks)
    torch.manual_seed(0)
    ours = TemporalUnet(config, 6)
    torch.manual_seed(0)
    theirs = DiffusionConditionalUnet1d(config, 6)
    if blocks == 2:
        assert {name: value.shape for name, value in ours.state_dict().items()} == {
            name: value.shape for name, value in theirs.state_dict().items()
        }
        x, t, cond = torch.randn(2, horizon, 3), torch.tensor([3, 70]), torch.randn(2, 6)
        torch.testing.assert_close(ours(x, t, cond), theirs(x, t, cond))
        ours.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(ours(x, t, cond), theirs(x, t, cond))
        assert whole_size(ours) == sum(p.numel() for p in theirs.parameters())
    assert sum(p.numel() for p in ours.parameters()) <= whole_size(ours)


def test_checkpoints_hold_whole_kernels_and_come_back():
    torch.manual_seed(0)
    one, other = TemporalUnet(unet_config(), 6), TemporalUnet(unet_config(), 6)
    state = one.state_dict()
    kernel = state["mid_modules.0.conv1.block.0.weight"]
    assert kernel.shape == (32, 32, 5)
    assert not kernel[..., [0, 1, 3, 4]].any()  # one step long
    other.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_copies_do_not_share_weights():
    one = TemporalUnet(unet_config(), 6)
    other = copy.deepcopy(one)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert all(value.any() for name, value in one.state_dict().items() if name.endswith("block.0.weight"))
    assert not any(value.any() for value in other.state_dict().values())


def test_another_length_is_refused():
    conv = TrimmedConv1d(nn.Conv1d(3, 5, 5, padding=2), 2)
    with pytest.raises(ValueError, match="4 steps, but the kernel was trimmed for 2"):
        conv(torch.zeros(1, 3, 4))
