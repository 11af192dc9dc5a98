"""Remembered FiLM results: the same outputs, fewer computations, nothing stale."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from test_trimmed_convolution import unet_config
from torch import Tensor

from lerobot_sdm.nets import film
from lerobot_sdm.nets.temporal_unet import TemporalUnet


@pytest.fixture
def unet() -> TemporalUnet:
    torch.manual_seed(0)
    return TemporalUnet(unet_config(), 6).eval()


def inputs(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 4, 3, generator=generator), torch.randn(2, 6, generator=generator)


def plain(unet: TemporalUnet, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """The same network where nothing is remembered: with gradients."""
    with torch.enable_grad():
        return unet(x, t, cond).detach()


@contextmanager
def counted_products(monkeypatch) -> Iterator[list[int]]:
    """Counts the layers computed by `FilmMemory`."""
    calls, linear = [], film.F.linear

    def counting(*args):
        calls.append(1)
        return linear(*args)

    with monkeypatch.context() as patch:
        patch.setattr(film.F, "linear", counting)
        yield calls


@pytest.mark.parametrize("times", [[70, 70], [3, 70]])
def test_outputs_are_the_same(unet, times):
    x, cond = inputs()
    t = torch.tensor(times)
    with torch.no_grad():
        for _ in range(2):  # computed, then remembered
            torch.testing.assert_close(unet(x, t, cond), plain(unet, x, t, cond))
        other = inputs(1)[1]
        torch.testing.assert_close(unet(x, t, other), plain(unet, x, t, other))


def test_each_part_is_computed_once(unet, monkeypatch):
    layers = 12  # two blocks on three levels down, one level's middle and two up
    x, cond = inputs()
    with torch.no_grad(), counted_products(monkeypatch) as calls:
        for step in (90, 50, 10):
            unet(x, torch.tensor([step, step]), cond)
        first_chunk = len(calls)
        calls.clear()
        other = inputs(1)[1]
        for step in (90, 50, 10):
            unet(x, torch.tensor([step, step]), other)
        second_chunk = len(calls)
    # nn.Linear and the convolutions call the same function: what differs between chunks are the three times.
    embedding = 2  # linear layers of the step encoder
    assert first_chunk - second_chunk == 3 * (layers + embedding)


def test_nothing_stale(unet):
    x, cond = inputs()
    t = torch.tensor([5, 5])
    with torch.no_grad():
        before = unet(x, t, cond)
        for layer in (unet.mid_modules[0].cond_encoder[1], unet.diffusion_step_encoder[1]):
            layer.weight.mul_(1.5)
            after = unet(x, t, cond)
            torch.testing.assert_close(after, plain(unet, x, t, cond))
            assert not torch.equal(after, before)
        unet.load_state_dict({name: 0.5 * value for name, value in unet.state_dict().items()})
        torch.testing.assert_close(unet(x, t, cond), plain(unet, x, t, cond))
        unet.double()
        double = unet(x.double(), t.double(), cond.double())
    assert double.dtype == torch.double


def test_nothing_stale_after_training(unet):
    """Nothing tells that a fused optimizer has changed the weights."""
    x, cond = inputs()
    t = torch.tensor([5, 5])
    with torch.no_grad():
        before = unet(x, t, cond)
    unet.train()
    unet(x, t, cond).sum().backward()
    torch.optim.AdamW(unet.parameters(), lr=0.01, fused=True).step()
    unet.eval()
    with torch.no_grad():
        after = unet(x, t, cond)
        torch.testing.assert_close(after, plain(unet, x, t, cond))
    assert not torch.allclose(after, before)


def test_many_times_do_not_pile_up(unet):
    x, cond = inputs()
    with torch.no_grad():
        for step in range(film.MOST_TIMES + 5):
            unet(x, torch.full((2,), step), cond)
    assert len(unet._memory._time_parts) <= film.MOST_TIMES


def test_weights_of_inference_mode():
    with torch.inference_mode():
        unet = TemporalUnet(unet_config(), 6).eval()
        x, cond = inputs()
        assert unet(x, torch.tensor([5, 5]), cond).isfinite().all()
