"""The reward model under LeRobot's own training loop: what it learns, what it refuses, what its checkpoint needs."""

import shutil

import pytest
import torch
from lerobot.configs.rewards import RewardModelConfig
from lerobot.rewards import make_reward_pre_post_processors
from lerobot_commands import SMALL_DP3, checkpoint_tensors, lerobot_resume, lerobot_train, make_small_dataset, run_train
from reward_models import (
    REPO_ID,
    SIZES,
    reward_config,
    save_policy,
    save_reward_model,
    train_reward,
    write_rewarded,
)
from safetensors.torch import load_file

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.reward_error import measure_reward_error
from lerobot_sdm.policies.guards import NonFiniteError
from lerobot_sdm.policies.source.reward_model import load_reward_model
from lerobot_sdm.rewards.chunk_reward.modeling_chunk_reward import ChunkRewardRewardModel


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_policy(tmp_path_factory.mktemp("base") / "policy")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rewarded(tmp_path_factory.mktemp("data") / "rewarded")


def raw_batch(size: int = 5, actions: int = 3) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    batch = {key: torch.rand(size, 2, width, generator=random) for key, width in SIZES.items()}
    return batch | {"action": torch.rand(size, actions, SIZES["action"], generator=random)}


def test_it_learns_what_follows_from_actions(base, data, tmp_path, monkeypatch):
    """Trained by LeRobot, it ranks chunks of an episode that it never saw; and a resumed run is the same run."""
    folder = train_reward(monkeypatch, base, data, tmp_path / "run", "--reward_model.hidden_dims=[32]",
                          "--reward_model.optimizer_lr=1e-2", steps=160)  # fmt: skip
    measured = measure_reward_error(str(folder))
    assert measured["episodes"] == 1
    assert measured["chunks"] == 39  # of 40 frames the first has no reward before it
    assert measured["rank_correlation"] > 0.8
    assert measured["rmse"] < 0.6 * measured["constant_rmse"]

    resumed = lerobot_resume(monkeypatch, tmp_path / "run/checkpoints/000080", tmp_path / "resumed")
    expected, found = checkpoint_tensors(folder), checkpoint_tensors(resumed)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


def test_checkpoint_stands_alone(base, tmp_path):
    """With the policy deleted, and in the policy's own units."""
    moved = tmp_path / "policy"
    shutil.copytree(base, moved)
    folder = save_reward_model(moved, tmp_path / "reward")
    shutil.rmtree(moved)
    model = load_reward_model(str(folder), "cpu")
    assert not any("unet" in key for key in load_file(folder / "model.safetensors"))
    model.config.pretrained_path = str(folder)
    preprocess, _ = make_reward_pre_post_processors(model.config)
    batch = preprocess(raw_batch())
    # From [-1, 1], what is given is what is normalized.
    torch.testing.assert_close(batch["action"], raw_batch()["action"])
    expected = model.predict(model.features(batch), batch["action"])
    assert expected.shape == (2, 5)
    torch.testing.assert_close(model.compute_reward(batch), expected.mean(dim=0))


def test_labels_by_hand(base):
    config = reward_config(base, look_ahead=2)
    assert config.reward_delta_indices == [-1, 4]
    assert config.action_delta_indices == [0, 1, 2]
    batch = {
        "next.reward": torch.tensor([[0.25, 0.75], [0.5, 0.125]]),
        "next.reward_is_pad": torch.tensor([[False, True], [True, False]]),
    }
    label, known = ChunkRewardRewardModel(config).labels(batch)
    assert label.tolist() == [0.5, -0.375]
    assert known.tolist() == [True, False]
    label, known = ChunkRewardRewardModel(reward_config(base, target="reward")).labels(batch)
    assert label.tolist() == [0.75, 0.125]
    assert known.all()


def test_rewards_get_unit_scale(base, data):
    from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata

    meta = LeRobotDatasetMetadata(REPO_ID, root=data)
    mean, std = (float(meta.stats["next.reward"][name].item()) for name in ("mean", "std"))
    for target, center in (("change", 0.0), ("reward", mean)):
        model = ChunkRewardRewardModel(reward_config(base, target=target), meta.stats, meta)
        assert model.scale.item() == pytest.approx(std)
        assert model.centre.item() == pytest.approx(center)


def test_a_policys_encoder_is_what_clouds_are_seen_through(tmp_path, monkeypatch):
    data = make_small_dataset(tmp_path / "data")
    policy = lerobot_train(monkeypatch, data, tmp_path / "dp3", "--policy.type=dp3", *SMALL_DP3, steps=2, save_freq=2)
    model = load_reward_model(str(save_reward_model(policy, tmp_path / "reward")), "cpu")
    trained, kept = load_file(policy / "model.safetensors"), model.encoder.state_dict()
    assert kept
    assert all(key.startswith("obs_encoder.") for key in kept)
    batch = {
        "observation.state": torch.rand(2, 2, 9),
        "observation.point_cloud": torch.rand(2, 2, 12, 3),
        "action": torch.rand(2, 4, 4),
    }
    assert model.train().compute_reward(batch).shape == (2,)
    assert not model.encoder.training
    # The encoder is the policy's only where a training begins; a saved model brings its own.
    assert {key: value.shape for key, value in kept.items()} == {key: trained[key].shape for key in kept}


@pytest.mark.parametrize(
    ("reward", "state", "message"),
    [
        (False, 2, r"next\.reward.*collect-rollouts"),
        (True, 5, r"observation\.state.*\(5,\) in the dataset and \(2,\) in the base"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_anything_is_written(
    base, tmp_path, monkeypatch, reward, state, message
):
    data = write_rewarded(tmp_path / "data", episodes=2, length=5, reward=reward, state=state)
    with pytest.raises(InputError, match=message):
        train_reward(monkeypatch, base, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "chnge"}, "target: 'chnge' is not known.*'change'"),
        ({"look_ahead": -1}, "look_ahead=-1"),
        ({"ensemble": 0}, "ensemble=0"),
        ({"base": "nowhere/at all"}, "--reward_model.base_path=nowhere/at all"),
    ],
)
def test_bad_settings_are_refused(base, fields, message):
    with pytest.raises(InputError, match=message):
        reward_config(**{"base": base} | fields)


def test_a_policy_and_the_description_of_another_are_refused(base, tmp_path, monkeypatch, data):
    other = save_policy(tmp_path / "other", n_action_steps=2)
    run = train_reward(monkeypatch, base, data, tmp_path / "run", steps=2)
    with pytest.raises(InputError, match=r"--reward_model\.base_path=.*is another policy.*Remove network"):
        run_train(monkeypatch, [f"--config_path={run / 'train_config.json'}", f"--reward_model.base_path={other}",
                             f"--output_dir={tmp_path / 'again'}"])  # fmt: skip


def test_a_reward_without_a_policy_is_refused(tmp_path, monkeypatch, data):
    with pytest.raises(InputError, match=r"--reward_model\.base_path: a chunk_reward judges"):
        run_train(monkeypatch, ["--reward_model.type=chunk_reward", f"--dataset.repo_id={REPO_ID}",
                             f"--dataset.root={data}", f"--output_dir={tmp_path / 'run'}"])  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_chunks_of_another_length_are_refused(base, tmp_path):
    model = load_reward_model(str(save_reward_model(base, tmp_path / "reward")), "cpu")
    with pytest.raises(InputError, match=r"action: \(5, 4, 2\) is not \(B, 3, A\)"):
        model.compute_reward(raw_batch(actions=4))


def test_rewards_that_are_not_finite_stop_a_training_without_a_checkpoint(base, tmp_path):
    model = ChunkRewardRewardModel(reward_config(base)).train()
    rewards = torch.tensor([[0.25, 0.75]] * 5)
    batch = raw_batch() | {"next.reward": rewards, "next.reward_is_pad": torch.zeros(5, 2, dtype=torch.bool)}
    model.forward(batch)
    model.update()
    rewards[2, 1] = torch.nan
    model.forward(batch)
    for refused in (lambda: model.forward(batch), lambda: model.save_pretrained(tmp_path / "reward")):
        with pytest.raises(NonFiniteError, match="training step 1: the loss is nan"):
            refused()
    assert list(tmp_path.rglob("*.*")) == []


def test_weights_that_are_not_finite_are_not_saved(base, tmp_path):
    model = ChunkRewardRewardModel(reward_config(base))
    with torch.no_grad():
        model.members[0][0].bias[0] = torch.inf
    with pytest.raises(NonFiniteError, match=r"'members\.0\.0\.bias' is not finite"):
        model.save_pretrained(tmp_path / "reward")
    assert list(tmp_path.rglob("*.*")) == []


def test_a_training_that_diverges_stops(base, data, tmp_path, monkeypatch):
    with pytest.raises(NonFiniteError, match=r"training step \d: the loss is (nan|inf)|is not finite"):
        train_reward(monkeypatch, base, data, tmp_path / "run", "--reward_model.optimizer_lr=1e30",
                     "--reward_model.optimizer_grad_clip_norm=0", "--reward_model.scheduler_warmup_steps=0",
                     steps=8)  # fmt: skip


def test_its_type_is_in_lerobots_registry():
    assert "chunk_reward" in RewardModelConfig.get_known_choices()
