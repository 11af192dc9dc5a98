"""The Diffusion Mixer: the reference's sizes, what its parts do, and what it refuses."""

import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from torch import Tensor, nn

from lerobot_sdm.diffusion.schedules import ddim_timesteps
from lerobot_sdm.errors import InputError
from lerobot_sdm.nets.backbones import BACKBONES
from lerobot_sdm.nets.mixer import Mixer, StopTimeMixer, add_stop_time
from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Model

COND = 10


def config(state_dim: int = 14, action_dim: int = 14, **kwargs) -> DP3Config:
    return DP3Config(
        device="cpu",
        backbone="mixer",
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (state_dim,)),
            "observation.point_cloud": PolicyFeature(FeatureType.STATE, (512, 3)),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (action_dim,))},
        **{"horizon": 8, "n_action_steps": 6, **kwargs},
    )


def small(**kwargs) -> DP3Config:
    return config(action_dim=3, **{"mixer_width": 16, "mixer_depth": 2, **kwargs})


def inputs(size: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x, cond = torch.randn(size, 8, 3, generator=random), torch.randn(size, COND, generator=random)
    return x, torch.arange(size) * 40, cond


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("kwargs", "total"),
    [
        ({}, 2_517_118),
        ({"n_obs_steps": 3}, 2_533_502),
        ({"mixer_width": 64, "mixer_depth": 4}, 519_278),
        ({"state_dim": 9, "action_dim": 4, "horizon": 4, "n_action_steps": 3}, 2_511_804),
        (
            {"state_dim": 9, "action_dim": 4, "horizon": 4, "n_action_steps": 3, "mixer_width": 64, "mixer_depth": 4},
            516_052,
        ),
    ],
)
def test_parameter_counts_equal_the_reference(kwargs, total):
    with torch.device("meta"):
        model = DP3Model(config(**kwargs))
    assert size(model) == total


def test_parameters_of_the_parts_equal_the_reference():
    with torch.device("meta"):
        model = DP3Model(config())
    block = model.denoiser.blocks[0]
    assert size(block) == 395_816
    assert size(block.gate) == 263_040
    assert size(model.obs_encoder) == 64_192


def test_a_gate_of_zeros_silences_the_condition():
    """And only the gate hears it: without its last layer's weights, neither time nor observation has an effect."""
    network = Mixer(small(), COND)
    x, t, cond = inputs()
    assert not torch.allclose(network(x, t, cond), network(x, t, cond + 1))
    assert not torch.allclose(network(x, t, cond), network(x, 99 - t, cond))
    for block in network.blocks:
        nn.init.zeros_(block.gate[-1].weight)
        nn.init.zeros_(block.gate[-1].bias)
    assert torch.equal(network(x, t, cond), network(x, 99 - t, cond + 1))


def test_one_block_by_hand():
    """The three residual updates, written out with the block's own weights."""
    network = Mixer(small(mixer_depth=1), COND).double()
    x, _, cond = (value.double() for value in inputs())
    t = torch.arange(3.0).double()
    silu, norm = nn.functional.silu, nn.functional.layer_norm
    block = network.blocks[0]

    def mlp(layers, value):
        first, second = layers
        return silu(value @ first.weight.T + first.bias) @ second.weight.T + second.bias

    frequencies = torch.exp(-torch.log(torch.tensor(1e4)) * torch.arange(32) / 31).double()
    angles = t[:, None] * frequencies
    step = mlp((network.step_encoder[1], network.step_encoder[3]), torch.cat([angles.sin(), angles.cos()], dim=1))
    c = step @ network.from_step.weight.T + network.from_step.bias
    c = c + cond @ network.from_cond.weight.T + network.from_cond.bias
    h = x @ network.from_actions.weight.T + network.from_actions.bias
    over_steps = norm(h, (16,), block.norm_steps.weight, block.norm_steps.bias)
    h = h + torch.stack(
        [mlp((block.over_steps.inner, block.over_steps.outer), over_steps[..., d]) for d in range(16)], dim=-1
    )
    over_channels = norm(h, (16,), block.norm_channels.weight, block.norm_channels.bias)
    h = h + mlp((block.over_channels.inner, block.over_channels.outer), over_channels)
    gate, scale, shift = mlp((block.gate[0], block.gate[2]), c)[:, None].split(16, dim=-1)
    h = h + gate * (h * (1 + scale) + shift)
    expected = h @ network.to_actions.weight.T + network.to_actions.bias
    torch.testing.assert_close(network(x, t, cond), expected, atol=1e-6, rtol=1e-6)


def test_the_order_of_steps_matters_without_a_positional_embedding():
    network = Mixer(small(), COND)
    x, t, cond = inputs()
    assert not torch.allclose(network(x.flip(1), t, cond), network(x, t, cond).flip(1), atol=1e-3)


@pytest.mark.parametrize("network", [Mixer, StopTimeMixer])
def test_another_number_of_steps_is_refused(network):
    x, t, cond = inputs()
    times = (t, t) if network is StopTimeMixer else (t,)
    with pytest.raises(ValueError, match=r"4 steps.*horizon=8"):
        network(small(), COND)(x[:, :4], *times, global_cond=cond)


def test_weights_of_another_horizon_are_refused_by_the_option():
    trained = Mixer(small(horizon=16), COND).state_dict()
    with pytest.raises(InputError, match=r"^--policy\.horizon=8: .*chunks of 16 steps"):
        Mixer(small(), COND).check_weights(trained)
    Mixer(small(horizon=16), COND).check_weights(trained)


def test_warm_start_of_a_second_time():
    """It gives what the network with one time gives, whatever the second; and its layer learns from the first step."""
    teacher, student = Mixer(small(), COND), StopTimeMixer(small(), COND)
    x, t, cond = inputs()
    assert not torch.allclose(student(x, t, t, cond), student(x, t, t + 1, cond))
    student.load_state_dict(add_stop_time(teacher.state_dict(), 16))
    for stop in (t, torch.zeros_like(t), t - 500.0):
        torch.testing.assert_close(student(x, t, stop, global_cond=cond), teacher(x, t, global_cond=cond))
    student(x, t, t, cond).square().mean().backward()
    assert student.from_stop.weight.grad.abs().sum() > 0


def test_forward_differentiation_agrees_with_a_finite_difference():
    """As objectives on average velocities need it: along (x, t, stop), in float64."""
    network = StopTimeMixer(small(), COND).double().eval()
    x, _, cond = (value.double() for value in inputs())
    times, direction = torch.full((3,), 0.4).double(), torch.randn_like(x)
    both = (direction, torch.ones_like(times), torch.zeros_like(times))
    call = lambda x, t, s: network(x, t, s, global_cond=cond)  # noqa: E731
    with torch.no_grad():
        for _ in range(2):  # Nothing that a first call caches may change the second.
            _, tangent = torch.func.jvp(call, (x, times, 0.5 * times), both)
            step = 1e-5
            ahead, behind = (call(x + h * direction, times + h, 0.5 * times) for h in (step, -step))
            torch.testing.assert_close(tangent, (ahead - behind) / (2 * step), atol=1e-8, rtol=1e-6)


def test_dropout_works_in_training_alone_and_keeps_the_names_of_weights():
    plain, dropped = Mixer(small(), COND), Mixer(small(), COND)
    dropped.add_dropout(0.5, None)
    dropped.load_state_dict(plain.state_dict())
    x, t, cond = inputs()
    torch.testing.assert_close(dropped.eval()(x, t, cond), plain(x, t, cond))
    dropped.train()
    assert not torch.allclose(dropped(x, t, cond), dropped(x, t, cond))


def test_checkpointed_gradients_are_the_same():
    network = Mixer(small(), COND).train()
    gradients = []
    for again in (False, True):
        network.gradient_checkpointing = again
        network.zero_grad()
        network(*inputs()).square().mean().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


class ExactDenoiser(nn.Module):
    """E[x_0 | x_t] for entries that are independently N(m, s^2); see eq. 4 of Ho et al. 2020."""

    def __init__(self, alphas: Tensor, mean: float, std: float):
        super().__init__()
        self.alphas, self.mean, self.std = alphas, mean, std

    def forward(self, x: Tensor, t: Tensor, global_cond: Tensor) -> Tensor:
        a = self.alphas[t].view(-1, 1, 1)
        return self.mean + self.std**2 * a.sqrt() * (x - a.sqrt() * self.mean) / (a * self.std**2 + 1 - a)


@pytest.mark.parametrize(("spacing", "indices"), [("leading", [50, 0]), ("trailing", [99, 49])])
def test_two_steps_of_ddim_from_an_exact_denoiser(spacing, indices):
    """Closed form: a step from signal power a to b turns the deviation y = x - sqrt(a) m into
    y (s^2 sqrt(ab) + sqrt((1-a)(1-b))) / (a s^2 + 1 - a), and the last one ends at b = 1. Hydra-DP3's leading spacing
    takes pure noise for level 50, and so keeps a share of -sqrt(a_50) m."""
    mean, std = 0.3, 0.5
    model = DP3Model(small(clip_sample_range=None, timestep_spacing=spacing, num_inference_steps=2)).double()
    assert model.sampler_timesteps() == ddim_timesteps(100, 2, spacing) == indices
    a, b = (model.alphas_cumprod[index] for index in indices)
    model.set_submodule(model.denoiser_name, ExactDenoiser(model.alphas_cumprod, mean, std))
    gain = (std**2 * (a * b).sqrt() + ((1 - a) * (1 - b)).sqrt()) / (a * std**2 + 1 - a)
    gain = gain * std**2 * b.sqrt() / (b * std**2 + 1 - b)
    noise = torch.randn(4, 8, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = mean + gain * (noise - a.sqrt() * mean)
    torch.testing.assert_close(model.sample(noise, torch.zeros(4, COND).double()), expected, atol=1e-12, rtol=1e-12)


def test_the_configuration_knows_every_backbone():
    from lerobot_sdm.nets.backbone_settings import FIELDS

    assert BACKBONES.keys() == FIELDS.keys()
