"""Weights of fewer bits: what must be exact is, what is not stays within what the bits allow."""

import copy

import pytest
import torch
from test_trimmed_convolution import unet_config

from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.mixer import Mixer, ReducibleLinear
from lerobot_sdm.nets.precision import PRODUCTS, BFloat16Product, Int8Product, lower_precision
from lerobot_sdm.nets.temporal_unet import TemporalUnet
from lerobot_sdm.nets.trimmed_convolution import TrimmedConvolution


def test_bfloat16_rounds_to_eight_significant_bits():
    weight = torch.tensor([[1.0, 255.0], [257.0, 0.0]])  # 257 = 2^8 + 1 has nine, and rounds to the even 256
    product = BFloat16Product(weight)
    torch.testing.assert_close(product(torch.tensor([[1.0, 0.0]])), torch.tensor([[1.0, 256.0]]))
    torch.testing.assert_close(product(torch.tensor([[0.0, 1.0]])), torch.tensor([[255.0, 0.0]]))


def test_int8_has_a_scale_for_each_output():
    """Small outputs are not rounded away beside large ones; multiples of a scale are exact."""
    weight = torch.tensor([[127.0, -1.0], [0.127, 0.001]])
    product = Int8Product(weight)
    # 63 steps of inputs between -63 and 63: ends of the range are exact.
    found = product(torch.tensor([[63.0, 0.0], [0.0, 63.0], [-63.0, 63.0]]))
    torch.testing.assert_close(found[0], 63 * weight[:, 0], rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(found[1], 63 * weight[:, 1], rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(found[2], 63 * (weight[:, 1] - weight[:, 0]), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("horizon", [4, 16])
@pytest.mark.parametrize(("precision", "allowed"), [("bfloat16", 0.05), ("int8", 0.2)])
def test_networks_stay_close(horizon, precision, allowed):
    torch.manual_seed(0)
    exact = TemporalUnet(unet_config(horizon=horizon), 6).eval()
    reduced = copy.deepcopy(exact)
    lower_precision(reduced, precision)
    x, t, cond = torch.randn(5, horizon, 3), torch.full((5,), 70), torch.randn(5, 6)
    with torch.no_grad():
        wanted, found = exact(x, t, cond), reduced(x, t, cond)
    error = (found - wanted).abs().max() / wanted.abs().max()
    assert 0 < error < allowed
    assert found.dtype == torch.float32


@pytest.mark.parametrize("precision", PRODUCTS)
def test_every_convolution_is_reduced(precision):
    unet = TemporalUnet(unet_config(), 6).eval()
    lower_precision(unet, precision)
    convolutions = [module for module in unet.modules() if isinstance(module, TrimmedConvolution)]
    # 24 in the 12 blocks, 5 where a block changes width, 2 that halve, 2 that double, 2 at the end.
    assert len(convolutions) == 35
    assert all(type(module.product) is PRODUCTS[precision] for module in convolutions)
    assert not [name for name, _ in unet.named_parameters() if name.endswith("block.0.weight")]


@pytest.mark.parametrize(("precision", "allowed"), [("bfloat16", 0.05), ("int8", 0.2)])
def test_of_a_mixer_the_layers_over_channels_are_reduced(precision, allowed):
    torch.manual_seed(0)
    settings = unet_config(horizon=8)
    settings.mixer_width, settings.mixer_depth, settings.mixer_ratio = 64, 3, 4
    exact = Mixer(settings, 6).eval()
    reduced = copy.deepcopy(exact)
    lower_precision(reduced, precision)
    layers = [name for name, module in reduced.named_modules() if isinstance(module, ReducibleLinear)]
    assert layers == [f"blocks.{block}.over_channels.{part}" for block in range(3) for part in ("inner", "outer")]
    assert not [name for name, _ in reduced.named_parameters() if name.removesuffix(".weight") in layers]
    x, t, cond = torch.randn(5, 8, 3), torch.full((5,), 70), torch.randn(5, 6)
    with torch.no_grad():
        wanted, found = exact(x, t, cond), reduced(x, t, cond)
    assert 0 < (found - wanted).abs().max() / wanted.abs().max() < allowed


def test_float32_changes_nothing():
    unet = TemporalUnet(unet_config(), 6)
    before = copy.deepcopy(unet.state_dict())
    lower_precision(unet, "float32")
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())


def test_int8_is_refused_where_it_cannot_run():
    """Weights are read on the CPU, before they are moved."""
    unet = TemporalUnet(unet_config(), 6)
    with pytest.raises(InputError, match=r"inference_precision=int8: runs only on a CPU, not on cuda\. Use bfloat16"):
        lower_precision(unet, "int8", device="cuda:0")
    lower_precision(unet, "bfloat16", device="cuda:0")


def test_unknown_precision():
    with pytest.raises(InputError, match=r"inference_precision: 'int4'.*int8"):
        lower_precision(TemporalUnet(unet_config(), 6), "int4")
