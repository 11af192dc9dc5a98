"""The table of policy types: a new type is its folder and one line."""

import importlib
from pathlib import Path

import pytest
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class
from lerobot_commands import lerobot_eval, lerobot_train, make_small_dataset

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm import policies
from lerobot_sdm.cards.training_card import training_card
from lerobot_sdm.policies.difftori.base_policy import base_types
from lerobot_sdm.policy_types import POLICIES, PolicyType, policy_type

FOLDERS = sorted(path.parent.name for path in Path(policies.__file__).parent.glob("*/configuration_*.py"))
SMALL = ("--policy.horizon=8", "--policy.n_action_steps=4", "--policy.down_dims=[8,16]")


def test_every_folder_has_its_line():
    assert sorted(POLICIES) == FOLDERS


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_type_is_whole(name):
    about = policy_type(name)
    assert isinstance(about, PolicyType)
    assert about.title
    assert about.description
    assert about.papers
    for part in ("configuration", "modeling", "processor"):
        importlib.import_module(f"{POLICIES[name]}.{part}_{name}")
    if about.source is not None:
        assert about.source in POLICIES
        assert hasattr(policies.config_classes()[name], about.source_option)
    if about.student is not None:
        assert policy_type(about.student).source == name


def test_a_type_that_is_not_in_the_table_is_called_by_its_name():
    assert policy_type("act").title == "act"


def test_a_new_policy_is_its_folder_and_a_line(monkeypatch, tmp_path):
    """Registered from outside: trained, evaluated in a simulator, and its card written."""
    monkeypatch.setitem(POLICIES, "toy", "toy_policy")
    assert policies.config_classes()["toy"] is PreTrainedConfig.get_choice_class("toy")
    assert "toy" in base_types()
    dataset = make_small_dataset(tmp_path / "data")
    trained = lerobot_train(monkeypatch, dataset, tmp_path / "run", "--policy.type=toy", *SMALL, steps=2, save_freq=2)

    env = ("--env.type=metaworld_pc", "--env.task=reach", "--env.num_points=16", "--env.camera_size=32")
    info = lerobot_eval(monkeypatch, trained, tmp_path / "eval", *env, "--env.episode_length=5")
    assert info["overall"]["n_episodes"] == 2

    policy = get_policy_class("toy").from_pretrained(trained)
    text = str(training_card(policy.config, policy.inference_model, repo_id="me/toy"))
    assert "**Toy regression.** Regresses a chunk of actions." in text
    assert "Network evaluations (NFE) per action chunk:** 1." in text
