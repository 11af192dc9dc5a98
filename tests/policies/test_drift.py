"""The drifting policy: what it calls how often, groups, padding, the phase of squared error, and its warning."""

import pytest
import torch
from observation_kinds import batch
from test_one_step import policy, training_batch

from lerobot_sdm.measure.latency import count_calls
from lerobot_sdm.policies.drift.collapse import MEMORY


def test_an_observation_is_encoded_once_for_all_of_its_samples():
    p = policy("drift", training=True, samples=5).train()
    sizes = []
    p.model.obs_encoder.register_forward_hook(lambda _, __, output: sizes.append(len(output)))
    p.model.unet.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    with count_calls(p.model.unet) as counter:
        p.forward(training_batch())
    assert sizes == [3 * 2, 3 * 5]  # Two frames each; the U-Net's batch is that of samples.
    assert counter.calls == 1


def test_time_is_the_same_in_training_and_acting():
    p, times = policy("drift", training=True, use_ema=False), []
    p.model.unet.register_forward_pre_hook(lambda _, args: times.append(args[1].unique().tolist()))
    p.forward(training_batch())
    p.sample_actions(batch())
    assert times == [[0.0], [0.0]]


def test_residual_noise():
    spread_out, not_yet = policy("drift"), policy("drift", residual_noise=False)
    noise, cond = torch.randn(3, 8, 2), spread_out.model.encode(batch())
    difference = spread_out.model.generate(noise, cond) - not_yet.model.generate(noise, cond)
    torch.testing.assert_close(difference, noise)


@pytest.mark.parametrize("group", ["chunk", "step", "dim"])
def test_the_loss_is_about_the_squared_number_of_temperatures(group):
    p = policy("drift", training=True, group=group).train()
    loss, told = p.forward(training_batch())
    assert 1 < loss.item() <= 9.01
    assert told.keys() == {"sample_variance", "centroid_error", "force_0.02", "force_0.05", "force_0.2"}
    assert min(told.values()) > 0


@pytest.mark.parametrize("group", ["chunk", "step", "dim"])
def test_padded_steps_have_no_gradient(group):
    """Neither samples nor demonstrations count there, in whatever group they drift."""
    p = policy("drift", training=True, do_mask_loss_for_padding=True, group=group).train()
    generated = []

    def keep(_, __, output):
        output.retain_grad()
        generated.append(output)

    p.model.unet.register_forward_hook(keep)
    padded = torch.zeros(3, 8, dtype=torch.bool)
    padded[1, 5:] = True
    p.forward({**training_batch(), "action_is_pad": padded})[0].backward()
    gradient = generated[0].grad.unflatten(0, (3, 4))
    assert (gradient[1, :, 5:] == 0).all()
    assert (gradient[1, :, :5] != 0).any()
    assert (gradient[0] != 0).any()


def test_the_squared_error_comes_first():
    p = policy("drift", training=True, mse_steps=200, mse_width=10).train()
    plain = policy("drift", training=True).train()
    assert plain.drifting_share() == 1
    assert p.drifting_share() == pytest.approx(0, abs=1e-6)
    p.train_step = 200
    assert p.drifting_share() == 0.5
    p.train_step = 10_000
    assert p.drifting_share() == 1
    assert policy("drift", mse_steps=10**6, mse_width=1).drifting_share() == pytest.approx(0)
    p.train_step = 0
    p.noise_seed = plain.noise_seed
    random = p.training_noise_generator(torch.device("cpu"))
    cond = p.model.encode(batch()).repeat_interleave(4, dim=0)
    samples = p.model.generate(torch.randn(12, 8, 2, generator=random), cond).unflatten(0, (3, 4))
    expected = (samples - training_batch()["action"].unsqueeze(1)).square().mean()
    torch.testing.assert_close(p.forward(training_batch())[0], expected, atol=1e-4, rtol=1e-4)


def test_a_policy_that_answers_the_same_to_all_noise_warns(caplog):
    p = policy("drift", training=True, residual_noise=False).train()
    p.model.unet.register_forward_hook(lambda *args: 0 * args[-1] + 0.5)
    for _ in range(MEMORY + 5):
        p.forward(training_batch())
    assert caplog.text.count("have collapsed") == 1
    assert "--policy.affinity_floor=0" in caplog.text


def test_an_evaluation_is_not_watched(caplog):
    p = policy("drift", training=True, residual_noise=False).eval()
    p.model.unet.register_forward_hook(lambda *args: 0 * args[-1] + 0.5)
    for _ in range(MEMORY + 5):
        p.forward(training_batch())
    assert caplog.text == ""


def test_a_policy_whose_samples_are_spread_does_not_warn(caplog):
    p = policy("drift", training=True).train()
    for _ in range(MEMORY + 5):
        p.forward(training_batch())
    assert caplog.text == ""
