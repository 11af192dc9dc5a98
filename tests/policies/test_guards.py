"""Numbers that are not finite stop a training before its checkpoint and an action before its robot, in every type."""

import pytest
import torch
from accelerate.state import GradientState
from lerobot_commands import lerobot_train
from safetensors.torch import load_file
from training_options import SOURCE_OF, TYPE_OPTIONS, options

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.guards import LossGuard, NonFiniteError, check_weights, checked_actions
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec

HUGE_RATES = {
    "sdm": ("--policy.generator_lr=1e30", "--policy.generator_grad_clip_norm=0"),
    "adjoint_matching": ("--policy.finetune_lr=1e30", "--policy.finetune_grad_clip_norm=0"),
    "manicm": ("--policy.student_lr=1e30", "--policy.student_grad_clip_norm=0"),
}


def observations(config, batch: int = 2) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {key: torch.rand(batch, *f.shape, generator=random) for key, f in config.input_features.items()}


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_an_observation_that_is_not_finite_leads_to_no_action(trained, kind):
    policy = load_from_spec(PolicySpec("x", str(trained(kind)))).policy
    seen = observations(policy.config)
    policy.select_action(seen)
    policy.reset()
    seen["observation.state"][1, 2] = float("nan")
    with pytest.raises(NonFiniteError, match=r"\w+: environment 1: .*'observation\.state' is not finite"):
        policy.select_action(seen)


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_a_bound_on_actions(trained, kind):
    free = load_from_spec(PolicySpec("x", str(trained(kind)))).policy
    bound = load_from_spec(PolicySpec("x", str(trained(kind)), {"action_bound": "0.05"})).policy
    chunks = []
    for policy in (free, bound):
        torch.manual_seed(0)
        policy.select_action(observations(policy.config))
        torch.manual_seed(0)
        chunks.append(policy.predict_action_chunk(observations(policy.config)))
    assert chunks[0].abs().max() > 0.05
    torch.testing.assert_close(chunks[1], chunks[0].clamp(-0.05, 0.05))


@pytest.mark.parametrize(("bound", "must"), [("0", "above 0"), ("-1", "above 0"), ("inf", "finite"), ("nan", "finite")])
def test_a_bound_that_is_none_is_refused(trained, bound, must):
    with pytest.raises(InputError, match=f"action_bound={bound}.*{must}"):
        load_from_spec(PolicySpec("x", str(trained("dp3")), {"action_bound": bound}))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, "clip_sample_range") for kind in ("dp3", "edm", "flow", "meanflow", "drift")]
    + [("difftori", "clip_range")],
)
def test_clipping_everything_away_is_refused(trained, kind, name):
    for bound in ("0", "-1.0"):
        with pytest.raises(InputError, match=f"--policy.{name}={bound}.*above 0"):
            load_from_spec(PolicySpec("x", str(trained(kind)), {name: bound}))


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_a_training_that_diverges_stops_without_a_checkpoint(trained, kind, dataset, tmp_path, monkeypatch):
    source = trained(SOURCE_OF[kind]) if kind in SOURCE_OF else None
    flags = (*options(kind, source), *HUGE_RATES.get(kind, ("--policy.optimizer_lr=1e30",)))
    with pytest.raises(NonFiniteError, match=r"is not finite|the loss is (nan|inf)"):
        lerobot_train(monkeypatch, dataset, tmp_path / "run", *flags, steps=6, save_freq=1)
    for file in (tmp_path / "run").rglob("model.safetensors"):
        check_weights(load_file(file))


@pytest.fixture
def accumulating(monkeypatch, trained, kind):
    """As `accelerate launch --gradient_accumulation_steps=4` has it; what is trained beforehand is trained without."""
    source = trained(SOURCE_OF[kind]) if kind in SOURCE_OF else None
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    yield options(kind, source)
    GradientState._reset_state()


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_steps_of_several_batches_are_refused(kind, dataset, tmp_path, monkeypatch, accumulating):
    """LeRobot would divide the loss by 4, and step behind every batch."""
    with pytest.raises(InputError, match=rf"gradient_accumulation_steps=4.*{kind} policy.*--batch_size=4 times"):
        lerobot_train(monkeypatch, dataset, tmp_path / "run", *accumulating, steps=2)
    assert not (tmp_path / "run").exists()


def test_a_loss_is_refused_one_step_later():
    guard = LossGuard()
    guard.watch(torch.tensor(1.0), 0)
    guard.watch(torch.tensor(float("nan")), 1)
    for refused in (guard.check, lambda: guard.watch(torch.tensor(1.0), 2)):
        with pytest.raises(NonFiniteError, match=r"training step 1: the loss is nan.*learning rate"):
            refused()


def test_weights_are_checked_by_name():
    with pytest.raises(NonFiniteError, match=r"'b' is not finite"):
        check_weights({"a": torch.ones(2), "b": torch.tensor([1.0, float("inf")]), "count": torch.tensor(1)})


def test_the_message_says_where():
    actions = torch.zeros(2, 3, 4)
    actions[1, 2, 3] = float("inf")
    with pytest.raises(
        NonFiniteError, match=r"1 planned values.*environment 1, step 2, dimension 3 .*\(inf\); all obs"
    ):
        checked_actions(actions, None, "dp3")
