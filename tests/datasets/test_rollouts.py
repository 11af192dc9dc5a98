"""Rollouts of a policy as a dataset: the environment's own numbers, repeatable, interruptible, not for evaluations."""

import json
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from full_disk import files_of_at_most
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.envs import close_envs, make_env
from lerobot.envs.factory import make_env_config
from reward_models import PUSHT_SIZES, save_policy, train_reward
from typer.testing import CliRunner

import lerobot_policy_sdm  # noqa: F401 - registers the environment type
from lerobot_sdm.cards.privacy import private_passages
from lerobot_sdm.cli.main import app
from lerobot_sdm.datasets.episodes import Episode
from lerobot_sdm.datasets.rollouts import NoisyActions, RolloutConfig, collect_rollouts
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.policy_spec import PolicySpec

pytest.importorskip("gym_pusht", reason="needs the extra `pusht`")
OPTIONS = {"obs_type": "environment_state_agent_pos", "episode_length": 6}
SEED = 200_000


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    """An untrained one that sees what Push-T shows, in pixels of its table."""
    folder = tmp_path_factory.mktemp("policy") / "policy"
    return save_policy(folder, low=0, high=512, sizes=PUSHT_SIZES, num_inference_steps=2)


def order(root: Path, **fields) -> RolloutConfig:
    settings = {"episodes": 3, "batch_size": 2, "root": root, "repo_id": "local/rewarded"}
    return RolloutConfig(**{"env": make_env_config("pusht_dense", **OPTIONS)} | settings | fields)


def collect(policy: Path, root: Path, **fields) -> Path:
    return collect_rollouts(order(root, **fields), PolicySpec("x", str(policy)))


def columns(root: Path) -> dict[str, np.ndarray]:
    table = LeRobotDataset("local/rewarded", root=root, video_backend="pyav").hf_dataset.with_format("numpy")
    return {key: np.asarray(table[key]) for key in table.column_names}


def test_frames_are_what_the_environment_gave(policy, tmp_path):
    """The recorded actions, sent again from the recorded seeds, bring the same observations and rewards."""
    root = collect(policy, tmp_path / "data")
    found = columns(root)
    assert set(found["episode_index"]) == {0, 1, 2}
    for episode in range(3):
        rows = found["episode_index"] == episode
        environments = make_env(make_env_config("pusht_dense", **OPTIONS), n_envs=1)
        ((environment,),) = (tasks.values() for tasks in environments.values())
        observation, _ = environment.reset(seed=[SEED + episode])
        for row in np.flatnonzero(rows):
            np.testing.assert_allclose(found["observation.state"][row], observation["agent_pos"][0], rtol=1e-6)
            np.testing.assert_allclose(
                found["observation.environment_state"][row], observation["environment_state"][0], rtol=1e-6
            )
            observation, reward, *_ = environment.step(found["action"][row][None])
            assert found["next.reward"][row] == pytest.approx(reward[0], rel=1e-6)
        close_envs(environments)
        assert rows.sum() == 6
    provenance = json.loads((root / "meta" / "provenance.json").read_text())
    assert [episode["seed"] for episode in provenance["episodes"]] == [SEED, SEED + 1, SEED + 2]
    assert provenance["policy"]["type"] == "diffusion"
    assert str(tmp_path) not in (root / "README.md").read_text()


def test_no_folder_of_this_machine_is_written(policy, tmp_path):
    """Neither the policy's nor those in its overrides, which the training's card or LeRobot's upload would show."""
    overrides = {"repo_id": str(tmp_path / "mine"), "num_inference_steps": "1"}
    root = collect_rollouts(order(tmp_path / "data", episodes=1), PolicySpec("x", str(policy), overrides))
    told = json.loads((root / "meta" / "provenance.json").read_text())["policy"]
    assert told["repo_id"] is None
    assert told["overrides"] == {"repo_id": "mine", "num_inference_steps": "1"}
    assert list(private_passages(root)) == []


def test_an_interrupted_collection_goes_on_and_gives_the_same(policy, tmp_path, monkeypatch):
    whole = columns(collect(policy, tmp_path / "whole"))
    save, saved = Episode.save, []

    def stop_at_the_third(episode, path):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(path)
        save(episode, path)

    monkeypatch.setattr(Episode, "save", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        collect(policy, tmp_path / "data")
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(Episode, "save", save)
    resumed = columns(collect(policy, tmp_path / "data"))
    assert whole.keys() == resumed.keys()
    for key, values in whole.items():
        np.testing.assert_array_equal(values, resumed[key])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_full_disk_loses_no_finished_episode(policy, tmp_path):
    """Full while an episode is stored, then while the dataset is written; both times the same call goes on."""
    root = tmp_path / "data"
    with files_of_at_most(1000), pytest.raises(InputError, match=r"--root=.*the disk is full"):
        collect(policy, root)
    assert not root.exists()
    assert not list(tmp_path.rglob("episode-*.npz"))

    with files_of_at_most(4000), pytest.raises(InputError, match=r"--root=.*the disk is full"):
        collect(policy, root)
    assert not root.exists()
    kept = {path.name: path.stat().st_ino for path in tmp_path.rglob("episode-*.npz")}
    assert len(kept) == 3
    assert collect(policy, root) == root
    assert set(columns(root)["episode_index"]) == {0, 1, 2}


def test_only_one_collection_of_the_same(policy, tmp_path):
    root = tmp_path / "data"
    with files_of_at_most(4000), pytest.raises(InputError, match="the disk is full"):
        collect(policy, root)
    (folder,) = tmp_path.glob(".data.rollouts-*")
    with filelock.FileLock(folder / "lock"), pytest.raises(InputError, match="another process is writing"):
        collect(policy, root)
    assert not root.exists()


def test_noise_stays_for_a_chunk():
    torch.manual_seed(0)
    act = NoisyActions(lambda action: action + 7, std=5.0, share=1.0, hold=3)
    noise = torch.stack([act(torch.full((1000, 2), -7.0)) for _ in range(6)])
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise[3], noise[5])
    assert not torch.equal(noise[2], noise[3])
    assert noise[0].std().item() == pytest.approx(5, rel=0.1)
    noisy = NoisyActions(lambda action: action, 5.0, 0.3, 1)(torch.zeros(4000, 2))
    shown = (noisy != 0).any(dim=1).float().mean().item()
    assert shown == pytest.approx(0.3, abs=0.03)  # four standard errors
    assert torch.equal(NoisyActions(lambda action: action, 0.0, 1.0, 3)(torch.ones(2, 2)), torch.ones(2, 2))


def test_it_trains_a_reward_model_as_it_stands(policy, tmp_path, monkeypatch):
    root = collect(policy, tmp_path / "data")
    assert (train_reward(monkeypatch, policy, root, tmp_path / "run", steps=2) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": 99_999}, r"--seed=99999: .*99999 to 100001 overlap.*100000 to 199999.*Start at --seed=200000"),
        ({"seed": 199_999}, "overlap"),
        ({"episodes": 0}, "--episodes=0"),
        ({"batch_size": 0}, "--batch_size=0"),
        ({"action_noise": -1.0}, r"--action_noise=-1\.0"),
        ({"noisy_share": 1.5}, r"--noisy_share=1\.5"),
        (
            {"env": make_env_config("pusht_dense")},
            r"'observation\.environment_state' is missing in .*pusht_dense",
        ),
        ({"env": make_env_config("metaworld_pc", n_action_steps=8)}, "--env.n_action_steps=8: .*a dataset needs all"),
    ],
)
def test_bad_orders_are_refused_before_anything_is_written(policy, tmp_path, fields, message):
    with pytest.raises(InputError, match=message):
        collect(policy, tmp_path / "data", **fields)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(policy, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"--root=.*exists already"):
        collect(policy, tmp_path / "data")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--env.type=pusht_dense",), "--policy.path: is missing"),
        (("--policy.path=x",), "--env.type: is missing"),
        (("--policy.path=me/x", "--env.type=pusht_dens"), "pusht_dens"),
        (("--policy.path", "--env.type=pusht_dense"), "--policy.path: has no value"),
    ],
)
def test_bad_command_lines(arguments, message):
    result = CliRunner().invoke(app, ["collect-rollouts", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_help_names_every_option():
    output = CliRunner().invoke(app, ["collect-rollouts", "--help"]).output
    for name in ("episodes", "seed", "evaluation_seeds", "batch_size", "--policy.path"):
        assert name in output
