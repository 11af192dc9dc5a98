"""Networks: reference parameter counts, invariances, shapes."""

import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature

from lerobot_sdm.nets import point_encoder
from lerobot_sdm.nets.ema import update_average, warmup_decay
from lerobot_sdm.nets.pair_buffer import PairBuffer
from lerobot_sdm.nets.point_encoder import PointEncoder
from lerobot_sdm.nets.trimmed_convolution import whole_size
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model

SIMPLE = {"down_dims": (128, 256, 384), "blocks_per_level": 1}


def config(state_dim: int, action_dim: int, **kwargs) -> DP3Config:
    return DP3Config(
        device="cpu",
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (state_dim,)),
            "observation.point_cloud": PolicyFeature(FeatureType.STATE, (512, 6)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (action_dim,))},
        **kwargs,
    )


def size(module: torch.nn.Module) -> int:
    return whole_size(module)


@pytest.mark.parametrize(
    ("state_dim", "action_dim", "kwargs", "encoder", "unet"),
    [
        (24, 26, {}, 64_832, 255_153_306),  # Adroit hammer, DP3: 255.218 M
        (24, 26, SIMPLE, 64_832, 7_394_970),  # Adroit hammer, Simple DP3: 7.460 M
        (24, 28, SIMPLE, 64_832, 7_396_764),  # door
        (24, 24, SIMPLE, 64_832, 7_393_176),  # pen
        (9, 4, SIMPLE, 63_872, 7_375_236),  # MetaWorld
        (32, 22, SIMPLE, 65_344, 7_391_382),  # DexArt
    ],
)
def test_parameter_counts_equal_the_reference(state_dim, action_dim, kwargs, encoder, unet):
    with torch.device("meta"):
        model = DP3Model(config(state_dim, action_dim, **kwargs))
    assert size(model.obs_encoder) == encoder
    assert size(model.unet) == unet


def test_color_encoder_has_the_released_layers():
    encoder = PointEncoder(6)
    shapes = {name: tuple(p.shape) for name, p in encoder.named_parameters() if name.endswith("weight")}
    assert shapes == {
        "mlp.0.weight": (64, 6),
        "mlp.1.weight": (64,),
        "mlp.3.weight": (128, 64),
        "mlp.4.weight": (128,),
        "mlp.6.weight": (256, 128),
        "mlp.7.weight": (256,),
        "mlp.9.weight": (512, 256),
        "final_projection.0.weight": (64, 512),
        "final_projection.1.weight": (64,),
    }


def test_one_of_equal_points_learns():
    """As in DP3, which takes the maximum with its index."""
    features = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [3.0, 2.0]]], requires_grad=True)
    maximum = point_encoder.maximum_over_points(features)
    assert maximum.tolist() == [[3.0, 5.0]] == point_encoder.maximum_over_points(features.detach()).tolist()
    (gradient,) = torch.autograd.grad(maximum.sum(), features)
    assert gradient.tolist() == [[[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]]


def test_point_encoder_ignores_order_and_repetition():
    encoder = PointEncoder(3)
    cloud = torch.randn(2, 50, 3)
    shuffled = cloud[:, torch.randperm(50)]
    torch.testing.assert_close(encoder(cloud), encoder(shuffled))
    torch.testing.assert_close(encoder(cloud), encoder(torch.cat([cloud, cloud[:, :7]], dim=1)))


def test_point_encoder_in_chunks_is_the_same(monkeypatch):
    encoder, clouds = PointEncoder(3), torch.randn(7, 50, 3)

    def outputs_and_gradients(at_once: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        # The widest layer has 256 outputs of 4 bytes for each of the 50 points.
        monkeypatch.setattr(point_encoder, "CHUNK_BYTES", at_once * 50 * 256 * 4)
        features = encoder(clouds)
        return features, list(torch.autograd.grad(features.square().sum(), list(encoder.parameters())))

    calls = []
    encoder.mlp.register_forward_hook(lambda *_: calls.append(1))
    whole, chunked = outputs_and_gradients(7), outputs_and_gradients(3)
    assert len(calls) == 1 + 3
    torch.testing.assert_close(chunked[0], whole[0], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(chunked[1], whole[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("horizon", [4, 8, 16])
@pytest.mark.parametrize("blocks", [1, 2])
def test_unet_keeps_the_shape_and_feels_its_condition(horizon, blocks):
    model = DP3Model(
        config(9, 4, down_dims=(16, 32, 64), blocks_per_level=blocks, horizon=horizon, n_action_steps=horizon - 1)
    )
    x, t = torch.randn(3, horizon, 4), torch.tensor([0, 50, 99])
    cond = torch.randn(3, 256)
    out = model.unet(x, t, global_cond=cond)
    assert out.shape == (3, horizon, 4)
    assert not torch.allclose(out, model.unet(x, t, global_cond=cond + 1))
    assert not torch.allclose(out, model.unet(x, 99 - t, global_cond=cond))


def test_ema_decay_equals_the_reference():
    assert [warmup_decay(0), warmup_decay(1)] == [0.0, 0.0]
    assert warmup_decay(2) == pytest.approx(1 - (1 + 1) ** -0.75)
    assert warmup_decay(1000) == pytest.approx(1 - 1000**-0.75)
    assert warmup_decay(10**9) == 0.9999


def test_ema_moves_toward_the_source():
    average, source = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.constant_(average.weight, 1.0)
    torch.nn.init.constant_(source.weight, 3.0)
    update_average(average, source, decay=0.75)
    assert average.weight.item() == pytest.approx(1.5)


def test_pair_buffer_draws_only_what_was_added_and_overwrites_the_oldest():
    pairs = PairBuffer(capacity=5, cond_dim=1, action_shape=(2, 1))
    random = torch.Generator().manual_seed(0)

    def add(*values: float) -> None:
        column = torch.tensor(values).view(-1, 1)
        pairs.add(column, column.view(-1, 1, 1).expand(-1, 2, 1), -column.view(-1, 1, 1).expand(-1, 2, 1))

    add(1, 2, 3)
    cond, noise, target = pairs.draw(200, random)
    assert set(cond.flatten().tolist()) == {1, 2, 3}
    assert torch.equal(noise, cond.unsqueeze(1).expand_as(noise))
    assert torch.equal(target, -noise)
    add(4, 5, 6)
    assert set(pairs.draw(200, random)[0].flatten().tolist()) == {2, 3, 4, 5, 6}
    add(*range(10, 23))  # more than it holds
    cond, noise, target = pairs.draw(200, random)
    assert set(cond.flatten().tolist()) == {18, 19, 20, 21, 22}
    assert torch.equal(noise, cond.unsqueeze(1).expand_as(noise))
    assert torch.equal(target, -noise)
