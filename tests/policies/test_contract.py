"""What LeRobot 0.6.1 may ask of a policy besides acting and training: each is implemented, or refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class
from lerobot.rollout.inference.rtc import supports_rtc_inference
from lerobot_commands import SMALL_DP3, lerobot_train
from training_options import TYPE_OPTIONS, options

import lerobot_policy_sdm  # noqa: F401 - registers the policy types
from lerobot_sdm.errors import InputError
from lerobot_sdm.policy_types import POLICIES

SAVED = Path(__file__).parents[1] / "saved"


def saved(kind: str):
    return get_policy_class(kind).from_pretrained(SAVED / kind)


@pytest.mark.parametrize("kind", POLICIES)
def test_real_time_chunking_is_not_supported(kind):
    """`lerobot-rollout --inference.type=rtc` refuses such a policy; see `tests/robots`."""
    policy = saved(kind)
    assert policy.supports_rtc() is False
    assert not supports_rtc_inference(policy)
    with pytest.raises(TypeError, match="inference_delay"):
        policy.predict_action_chunk({}, inference_delay=0, prev_chunk_left_over=None)


@pytest.mark.parametrize("kind", POLICIES)
def test_adapters_are_refused(kind):
    before = PreTrainedConfig.from_pretrained(SAVED / kind)
    with pytest.raises(InputError, match=r"^--peft\.method_type=LORA: this package's policies are trained whole"):
        saved(kind).wrap_with_peft()
    with pytest.raises(InputError, match=r"^--policy\.use_peft=true: "):
        PreTrainedConfig.from_pretrained(SAVED / kind, cli_overrides=["--use_peft=true"])
    assert before.use_peft is False


@pytest.mark.parametrize("kind", POLICIES)
def test_losses_of_samples_are_refused(kind):
    with pytest.raises(InputError, match=rf"^--sample_weighting: {kind} has no loss for each sample"):
        saved(kind).forward({}, reduction="none")


@pytest.mark.parametrize("kind", POLICIES)
def test_dropping_actions_keeps_what_was_seen(kind):
    """The next action is the first of a new chunk, planned from both frames."""
    policy = saved(kind)
    frames = [
        {key: torch.rand(1, *feature.shape, generator=torch.Generator().manual_seed(seed)) for key, feature in
         policy.config.input_features.items()}
        for seed in range(2)
    ]  # fmt: skip
    policy.select_action(frames[0])
    policy.drop_queued_actions()
    torch.manual_seed(0)
    action = policy.select_action(frames[1])
    torch.manual_seed(0)
    window = {key: torch.stack([frame[key] for frame in frames], dim=1) for key in frames[0]}
    torch.testing.assert_close(action, policy.predict_action_chunk(window)[:, 0])
    policy.reset()
    policy.drop_queued_actions()  # Nothing to drop.


def test_training_refuses_sample_weights(monkeypatch, dataset, tmp_path):
    with pytest.raises(InputError, match=r"^--sample_weighting: dp3 has no loss for each sample"):
        lerobot_train(
            monkeypatch, dataset, tmp_path / "run", *options("dp3", None), "--sample_weighting.type=uniform", steps=1
        )
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_names_of_actions_are_kept(monkeypatch, dataset, tmp_path):
    """LeRobot stores the dataset's names with the policy, and warns on a robot with others."""
    named = tmp_path / "named"
    shutil.copytree(dataset, named)
    info = named / "meta" / "info.json"
    told = json.loads(info.read_text())
    names = ["x.vel", "y.vel", "z.vel", "gripper.vel"]
    told["features"]["action"]["names"] = names
    info.write_text(json.dumps(told))
    policy = lerobot_train(monkeypatch, named, tmp_path / "run", "--policy.type=dp3", *SMALL_DP3, steps=1, save_freq=1)
    assert PreTrainedConfig.from_pretrained(policy).action_feature_names == names
    student = lerobot_train(
        monkeypatch, named, tmp_path / "student", "--policy.type=sdm", f"--policy.teacher_path={policy}",
        *TYPE_OPTIONS["sdm"], steps=1, save_freq=1,
    )  # fmt: skip
    config = PreTrainedConfig.from_pretrained(student)
    assert config.action_feature_names == names
    assert "action_feature_names" not in config.network  # The network does not depend on them.
    assert torch.is_tensor(next(get_policy_class("sdm").from_pretrained(student).parameters()))
