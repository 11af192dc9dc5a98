"""Adjoint Matching as a policy: who gets which gradient, what the reward does, what is refused, what comes out."""

import json
import shutil

import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
from lerobot.policies.factory import get_policy_class, make_policy
from lerobot_commands import lerobot_resume, run_train
from reward_models import REPO_ID, SIZES, save_policy, save_reward_model, write_rewarded
from safetensors.torch import load_file, save_file

from lerobot_sdm.checkpoints.export_base import export_base
from lerobot_sdm.diffusion.adjoint_matching import posterior_mean
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.adjoint_matching.configuration_adjoint_matching import AdjointMatchingConfig
from lerobot_sdm.policies.adjoint_matching.modeling_adjoint_matching import AdjointMatchingPolicy
from lerobot_sdm.policies.source.adapters import DIFFUSION_TYPES
from lerobot_sdm.policies.source.source_policy import SourcePolicy


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_policy(tmp_path_factory.mktemp("base") / "policy", noise_scheduler_type="DDIM")


@pytest.fixture(scope="module")
def reward(base):
    return save_reward_model(base, base.parent / "reward")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rewarded(tmp_path_factory.mktemp("data") / "rewarded", episodes=2, length=20)


@pytest.fixture
def build(base, reward, data):
    """A policy in training, as `lerobot-train` builds it."""

    def make(**fields) -> AdjointMatchingPolicy:
        settings = {"base_path": str(base), "reward_path": str(reward), "sampling_steps": 5, "loss_steps": 2} | fields
        config = AdjointMatchingConfig(device="cpu", push_to_hub=False, **settings)
        return make_policy(config, ds_meta=LeRobotDatasetMetadata(REPO_ID, root=data)).train()

    return make


def batch(size: int = 6) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    observed = {key: 2 * torch.rand(size, 2, width, generator=random) - 1 for key, width in SIZES.items()}
    return observed | {"action": torch.rand(size, 8, SIZES["action"], generator=random)}


def like_it(policy: AdjointMatchingPolicy, reward) -> None:
    """Put a reward of actions (B, n_action_steps, A) -> (B,) in the place of the trained one."""
    policy.reward_model.predict = lambda features, actions: reward(actions).expand(2, -1)


def learn_to_denoise(base) -> None:
    """Train a saved policy a little, on random actions: an untrained network that predicts actions ignores its input,
    so that nothing but its last step, which has no noise, could change what it samples."""
    network = SourcePolicy(str(base), kinds=DIFFUSION_TYPES).load("cpu").requires_grad_(True)
    optimizer = torch.optim.Adam(network.denoiser.parameters(), lr=5e-3)
    cond = network.encode(batch(64))
    for _ in range(150):
        actions, noise = 0.4 * torch.randn(64, 8, 2), torch.randn(64, 8, 2)
        loss = network.denoising_loss(actions, noise, torch.randint(100, (64,)), cond).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_file(network.state_dict(), base / "model.safetensors")


def test_only_the_denoiser_gets_a_gradient(build):
    policy = build()
    loss, logged = policy.forward(batch())
    loss.backward()
    assert all(parameter.grad is not None for parameter in policy.model.denoiser.parameters())
    others = [*policy.teacher.parameters(), *policy.reward_model.parameters()]
    assert others
    assert all(parameter.grad is None for parameter in others)
    assert logged.keys() == {
        *("reward", "reward_spread", "control_norm", "adjoint_norm_sample", "adjoint_norm_noise", "skipped_samples")
    }
    assert logged["adjoint_norm_sample"] > 0


def test_no_loss_at_the_base_without_reward(build):
    loss, logged = build(reward_weight=0.0).forward(batch())
    # Of one network, asked in batches of other sizes.
    assert loss.item() == pytest.approx(0, abs=1e-9)
    assert logged["control_norm"] == pytest.approx(0, abs=1e-9)


def test_without_reward_it_returns_to_its_base(build):
    policy = build(reward_weight=0.0)
    with torch.no_grad():
        for parameter in policy.model.denoiser.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.Adam(policy.model.denoiser.parameters(), lr=1e-3)
    first = None
    for _ in range(60):
        loss, logged = policy.forward(batch())
        first = first or logged["control_norm"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        policy.update()
    assert logged["control_norm"] < 0.5 * first


@pytest.mark.parametrize(("prediction", "sampler"), [("epsilon", "DDPM"), ("sample", "DDIM")])
def test_reward_rises_where_it_looks_and_only_there(build, tmp_path, prediction, sampler):
    """Toward 0.5 in the executed actions; rows that are not executed get no gradient."""
    base = save_policy(tmp_path / "base", prediction_type=prediction, noise_scheduler_type=sampler)
    learn_to_denoise(base)
    reward = save_reward_model(base, tmp_path / "reward")
    policy = build(
        base_path=str(base), reward_path=str(reward), reward_weight=20.0, adjoint_clip_quantile=1.0, use_ema=False
    )
    like_it(policy, lambda actions: -(actions - 0.5).square().flatten(1).sum(dim=1))
    *_, gradient = policy._judge(batch(), torch.zeros(6, 8, 2))
    assert gradient[:, [0, 4, 5, 6, 7]].abs().max() == 0
    torch.testing.assert_close(gradient[:, 1:4], torch.ones(6, 3, 2))

    optimizer = policy.config.get_optimizer_preset().build(policy.get_optim_params())
    for group in optimizer.param_groups:
        group["lr"] = 2e-3
    rewards = []
    for _ in range(60):
        loss, logged = policy.forward(batch(32))
        rewards.append(logged["reward"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        policy.update()
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.3
    assert logged["control_norm"] > 0


def test_pessimism_avoids_where_members_disagree(build):
    policy = build(reward_pessimism=2.0)
    policy.reward_model.predict = lambda features, actions: torch.stack(
        [actions[:, 0, 0] + 3 * actions[:, 0, 1], actions[:, 0, 0] - 3 * actions[:, 0, 1]]
    )
    reward, spread, gradient = policy._judge(batch(), torch.full((6, 8, 2), 0.5))
    torch.testing.assert_close(reward, torch.full((6,), 0.5))
    torch.testing.assert_close(spread, torch.full((6,), 1.5))
    # Mean less twice the standard deviation, which is three times the second coordinate.
    torch.testing.assert_close(gradient[:, 1], torch.tensor([1.0, -6.0]).expand(6, 2))


def test_means_are_those_of_the_networks_own_samples(build):
    """Fine-tuned and base step from the same state by the same rule, with the network's own clipped estimate."""
    policy = build()
    process, cond = policy._process(), policy.model.encode(batch())
    x, k = torch.randn(6, 8, 2), torch.tensor([0, 1, 2, 3, 4, 0])
    x0 = policy.model.denoise(x, process.timesteps[k], cond).x0.clamp(-1, 1)
    found = policy._mean(policy.model.denoiser, cond, process, x, k)
    torch.testing.assert_close(found, posterior_mean(x, x0, process, k))
    # A network that predicts noise starts where clean actions can still be read, at 91 of 0 ... 99.
    assert process.timesteps.tolist() == [91, 73, 54, 36, 17]


def test_gradients_are_there_where_lerobot_evaluates(build):
    """`--eval_steps` calls `forward` without gradients."""
    with torch.no_grad():
        loss, logged = build().forward(batch())
    assert loss.isfinite()
    assert logged["adjoint_norm_noise"] > 0


def test_what_is_not_finite_is_skipped_and_ends_training_when_it_persists(build):
    policy = build(max_skipped_steps=3)

    def broken(actions):
        weight = torch.ones(len(actions))
        weight[0] = torch.inf
        return (actions.flatten(1).sum(dim=1) + 1) * weight

    like_it(policy, broken)
    for _ in range(2):
        loss, logged = policy.forward(batch())
        assert logged["skipped_samples"] == 1
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in policy.model.denoiser.parameters())
    with pytest.raises(InputError, match=r"3 iterations in a row.*1 of 6 samples.*reward_weight \(now 100"):
        policy.forward(batch())
    like_it(policy, lambda actions: actions.flatten(1).sum(dim=1))
    policy.forward(batch())
    assert policy._skipped_in_a_row == 0


def test_the_same_step_of_a_run_sees_the_same_noise(build):
    policy = build()
    first, again = policy.forward(batch())[0], policy.forward(batch())[0]
    assert torch.equal(first, again)
    policy.train_step += 1
    assert not torch.equal(policy.forward(batch())[0], first)


def test_the_result_is_a_plain_policy_of_its_bases_type(base, reward, data, tmp_path, monkeypatch):
    """Trained by LeRobot, exported, loaded by LeRobot's own class, acting alike; and a student's teacher."""
    output = tmp_path / "run"
    run_train(monkeypatch, [
        "--policy.type=adjoint_matching", f"--policy.base_path={base}", f"--policy.reward_path={reward}",
        "--policy.sampling_steps=4", "--policy.loss_steps=2", "--policy.device=cpu", "--policy.push_to_hub=false",
        f"--dataset.repo_id={REPO_ID}", f"--dataset.root={data}", "--steps=4", "--batch_size=4", "--num_workers=0",
        "--env_eval_freq=0", f"--output_dir={output}",
    ])  # fmt: skip
    tuned = output / "checkpoints/last/pretrained_model"
    shutil.copytree(tuned, tmp_path / "alone")
    policy = AdjointMatchingPolicy.from_pretrained(tmp_path / "alone")

    exported = export_base(tmp_path / "alone", tmp_path / "plain")
    assert json.loads((exported / "config.json").read_text())["type"] == "diffusion"
    plain = DiffusionPolicy.from_pretrained(exported, strict=True)
    noise = torch.randn(6, 8, 2)
    observed = {key: value for key, value in batch().items() if key != "action"}
    torch.testing.assert_close(
        plain.predict_action_chunk(observed, noise=noise), policy.predict_action_chunk(observed, noise=noise)
    )
    before = load_file(base / "model.safetensors")
    assert any(not torch.equal(value, before[key]) for key, value in load_file(exported / "model.safetensors").items())
    config = PreTrainedConfig.from_pretrained(exported)
    assert (config.n_action_steps, config.num_inference_steps) == (3, 4)
    assert get_policy_class("sdm").config_class(teacher_path=str(exported), device="cpu").horizon == 8
    with pytest.raises(InputError, match="plain: exists already"):
        export_base(tuned, exported)
    with pytest.raises(InputError, match="is of type 'diffusion', which cannot be exported"):
        export_base(base, tmp_path / "other")
    with pytest.raises(InputError, match=r"has no config\.json"):
        export_base(tmp_path, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_going_on_with_another_reward_is_refused(base, reward, data, tmp_path, monkeypatch):
    moved = tmp_path / "reward"
    shutil.copytree(reward, moved)
    run_train(monkeypatch, [
        "--policy.type=adjoint_matching", f"--policy.base_path={base}", f"--policy.reward_path={moved}",
        "--policy.sampling_steps=4", "--policy.loss_steps=2", "--policy.device=cpu", "--policy.push_to_hub=false",
        f"--dataset.repo_id={REPO_ID}", f"--dataset.root={data}", "--steps=4", "--save_freq=2", "--batch_size=4",
        "--num_workers=0", "--env_eval_freq=0", f"--output_dir={tmp_path / 'run'}",
    ])  # fmt: skip
    half = tmp_path / "run" / "checkpoints" / "000002"
    shutil.copytree(half, tmp_path / "older", symlinks=True)
    weights = load_file(moved / "model.safetensors")
    weights["members.0.0.bias"] += 0.1
    save_file(weights, moved / "model.safetensors")
    with pytest.raises(InputError, match=r"--policy\.reward_path=.*this run began with another reward model \(SHA-256"):
        lerobot_resume(monkeypatch, half, tmp_path / "resumed")
    # Checkpoints of earlier versions have no hash of it: nothing is compared.
    for name in ("config.json", "train_config.json"):
        file = tmp_path / "older" / "pretrained_model" / name
        settings = json.loads(file.read_text())
        assert len(settings.get("policy", settings).pop("reward_sha256") or "") == 64, name
        file.write_text(json.dumps(settings))
    lerobot_resume(monkeypatch, tmp_path / "older", tmp_path / "resumed")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reward_path": None}, "--policy.reward_path: fine-tuning needs"),
        ({"base_path": None}, "--policy.base_path"),
        ({"reward_path": "nowhere/at all"}, "--policy.reward_path=nowhere/at all"),
        ({"base_path": "nowhere/at all"}, "--policy.base_path=nowhere/at all"),
        ({"adjoint": "last"}, "adjoint: 'last' is not known"),
        ({"reward_weight": -1.0}, r"reward_weight=-1\.0"),
        ({"reward_pessimism": float("nan")}, "reward_pessimism=nan"),
        ({"adjoint_clip_quantile": 0.0}, r"adjoint_clip_quantile=0\.0"),
        ({"loss_steps": 5}, r"loss_steps=5: must lie in 1 \.\.\. 4"),
        ({"sampling_steps": 93}, r"sampling_steps=93: must lie in 2 \.\.\. 92"),
        ({"num_inference_steps": 0}, "num_inference_steps=0"),
        ({"max_skipped_steps": 0}, "max_skipped_steps=0"),
        ({"n_action_steps": 4}, r"reward_path=.*n_action_steps=3, but this policy has 4"),
    ],
)
def test_contradictions_are_refused_by_name(build, wrong, message):
    with pytest.raises(InputError, match=message):
        build(**wrong)


def test_a_base_of_another_type_is_refused(build, base, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(base, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"type": "act"}))
    with pytest.raises(InputError, match=r"--policy\.base_path=.*is of type 'act'.*dp3, diffusion"):
        build(base_path=str(other))


def test_a_policy_is_no_reward_model(build, base):
    with pytest.raises(InputError, match=r"reward_path=.*is of type 'diffusion', not chunk_reward"):
        build(reward_path=str(base))


def test_a_reward_model_of_other_units_is_refused(build, tmp_path):
    other = save_policy(tmp_path / "base", high=3.0)
    reward = save_reward_model(other, tmp_path / "reward")
    with pytest.raises(InputError, match=r"reward_path=.*is normalized differently"):
        build(reward_path=str(reward))


def test_a_reward_model_of_other_observations_is_refused(build, reward, tmp_path):
    other = tmp_path / "reward"
    shutil.copytree(reward, other)
    config = json.loads((other / "config.json").read_text())
    config["network"]["input_features"]["observation.state"]["shape"] = [3]
    (other / "config.json").write_text(json.dumps(config))
    weights = load_file(other / "model.safetensors")
    wider = {key: torch.zeros(value.shape[0], value.shape[1] + 2) if key.endswith(".0.weight") else value
             for key, value in weights.items()}  # fmt: skip
    save_file(wider, other / "model.safetensors")
    with pytest.raises(InputError, match=r"'observation\.state' has shape \(2,\) in this policy and \(3,\) in the rew"):
        build(reward_path=str(other))
