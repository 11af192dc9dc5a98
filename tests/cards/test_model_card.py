"""Model cards know every policy type of this package."""

import dataclasses
import json
import re
import shlex

import pytest
import yaml

import lerobot_policy_sdm  # noqa: F401  (registers the policy types)
from lerobot_sdm.cards.model_card import CardFacts, Evaluation, model_card
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.options import CloudOptions, described_view
from lerobot_sdm.policies import config_classes
from lerobot_sdm.policy_types import POLICIES, policy_type


@pytest.mark.parametrize("name", config_classes())
def test_every_policy_type_is_introduced(name):
    assert name in POLICIES
    text = str(model_card(CardFacts("me/x", {"type": name})))
    assert policy_type(name).title in text
    assert all(address in text for _, address in policy_type(name).papers)


def test_unknown_things_are_left_out():
    text = str(model_card(CardFacts("me/x", {"type": "other"})))
    for absent in ("None", "## Teacher", "## Origin", "## Training", "model-index"):
        assert absent not in text


def test_an_imagined_robot_and_color_are_mentioned():
    policy = {"type": "dp3", "horizon": 4, "n_obs_steps": 2, "n_action_steps": 3, "use_color": True}
    origin = {"kind": "dp3", "task": "dexart_laptop", "weights": "ema", "source_sha256": "f", "imagined_robot": True}
    text = str(model_card(CardFacts("me/x", policy, imported=origin)))
    assert "xyz and rgb are used" in text
    assert "observation.imagin_robot" in text


def test_the_view_of_the_clouds_is_described():
    view = described_view("workspace", CloudOptions(num_points=160, frame="world", show_arm=False))
    text = str(model_card(CardFacts("me/x", {"type": "dp3", "cloud_view": view})))
    assert "trained on clouds in the view `workspace`: 160 points from camera `corner2`" in text
    assert "frame `world`" in text
    older = str(model_card(CardFacts("me/x", {"type": "dp3", "cloud_view": {"view": "workspace"}})))
    assert "trained on clouds in the view `workspace`." in older


@pytest.mark.parametrize(
    ("env", "given"),
    [
        ("dexart", {"task": "faucet", "view": "dp3", "imagin_robot": "joined"}),
        ("adroit", {"task": "pen", "view": "dp3"}),
        ("metaworld_pc", {"task": "shelf-place"}),
        ("metaworld_pc", {"task": "reach", "num_points": 99, "frame": "world", "show_arm": True}),
        ("metaworld_pc", {"task": "reach", "crop": [[0, 0, 0], [1, 1, 1]]}),
        ("metaworld_pc", {"task": "reach", "frame": "legacy"}),
    ],
)
@pytest.mark.parametrize("evaluated", [True, False])
def test_the_command_on_a_card_makes_the_clouds_of_the_training(env, given, evaluated):
    """From results that do not state the environment's options, and before there are any."""
    family = FAMILIES[env]
    view = json.loads(json.dumps(family.configuration(**given).cloud_view()))
    evaluations = [Evaluation(env, given["task"], 1, 2, 0.1, 0.9, "Fifty seeds.")] if evaluated else []
    text = str(model_card(CardFacts("me/x", {"type": "dp3", "cloud_view": view}, evaluations=evaluations)))
    assert f"--env.view={given.get('view', 'workspace')}" in text
    words = [word for word in shlex.split(text.partition("lerobot-eval")[2]) if word.startswith("--env.")]
    options = dict(word.removeprefix("--env.").split("=", 1) for word in words)
    assert (options.pop("type"), options.pop("task")) == (env, given["task"] if evaluated else "<task>")
    values = {name: yaml.safe_load(value) for name, value in options.items()}
    assert json.loads(json.dumps(family.configuration(task=given["task"], **values).cloud_view())) == view


def test_a_view_whose_environment_is_unknown_is_named():
    text = str(model_card(CardFacts("me/x", {"type": "dp3", "cloud_view": {"view": "dp3"}})))
    assert "--env.type=<environment> --env.task=<task> --env.view=dp3 " in text


def test_the_metadata_hold_one_result_for_each_task():
    evaluations = [Evaluation("suite", task, 1, 2, 0.1, 0.9, "Fifty seeds.") for task in ("a", "b")]
    card = model_card(CardFacts("me/x", {"type": "dp3"}, evaluations=evaluations))
    assert [result.dataset_name for result in card.data.eval_results] == ["suite, a", "suite, b"]
    assert str(card).count("Fifty seeds.") == 1


def test_the_denoising_network_is_named():
    unet = {"type": "dp3", "down_dims": [8, 16]}
    assert "**Denoising network:** U-Net with FiLM, 8, 16 channels." in str(model_card(CardFacts("me/x", unet)))
    mixer = {"type": "dp3", "backbone": "mixer", "mixer_width": 64, "mixer_depth": 4, "horizon": 8}
    mixer |= {"n_obs_steps": 2, "n_action_steps": 6}
    for policy in (mixer, {"type": "sdm", "network": mixer}):
        text = str(model_card(CardFacts("me/x", policy)))
        assert "**Denoising network:** Diffusion Mixer, 4 blocks of 64 channels, for chunks of 8 actions." in text
        assert "https://arxiv.org/abs/2605.01581" in text


def test_a_policy_on_a_base_says_how_another_one_is_made():
    policy = {"type": "difftori", "n_obs_steps": 2, "chunk_size": 8, "n_iterations": 100, "n_action_steps": 6}
    text = str(model_card(CardFacts("me/x", {**policy, "base_path": "me/base"})))
    assert "--policy.type=difftori --policy.base_path=me/base" in text
    assert "improves a chunk of 8 actions by 100 iterations, executes 6" in text
    assert "teacher_path" not in text


@pytest.mark.parametrize("name", config_classes())
def test_the_command_on_a_card_trains_such_a_policy(name):
    """It names a source only for types that have one, by the option that such a type has."""
    text = str(model_card(CardFacts("me/x", {"type": name})))
    command = text.partition("lerobot-train")[2].partition("```")[0]
    trained = re.search(r"--policy\.type=(\w+)", command)[1]
    options = re.findall(r"--policy\.(\w+_path)=", command)
    assert trained == (policy_type(name).student or name)
    known = {field.name for field in dataclasses.fields(config_classes()[trained])}
    assert options == [policy_type(trained).source_option] * bool(known & {"teacher_path", "base_path"})


STUDENT = {
    "type": "sdm",
    "warmup_steps": 800,
    "fake_updates_per_generator_update": 5,
    "regression_weight": 1.0,
    "weighting": "per_sample",
    "network": {"num_inference_steps": 10},
}


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (
            {"recipe": "regression", "warmup_steps": 0, "data_weight": 0.0, "matching_weight": 0.0},
            "Recipe `regression`: 2,000 generator updates, of which 2,000 regressed onto 10-step samples of the "
            "teacher.",
        ),
        (
            {"recipe": "sdm", "data_weight": 1.0, "matching_weight": 0.0},
            "Recipe `sdm`: 2,000 generator updates, of which 2,000 regressed onto 10-step samples of the teacher, "
            "1,200 matched the demonstrations by the energy score.",
        ),
        (
            {"recipe": "dmd", "data_weight": 0.0, "matching_weight": 1.0},
            "Recipe `dmd`: 1,040 generator updates, of which 1,040 regressed onto 10-step samples of the teacher, "
            "240 matched the teacher's score with a critic (per_sample weighting).",
        ),
        # Saved before there were recipes.
        (
            {"warmup_steps": 3000},
            "2,000 generator updates, of which 2,000 regressed onto 10-step samples of the teacher.",
        ),
    ],
)
def test_a_students_card_says_what_was_done(policy, sentence):
    text = str(model_card(CardFacts("me/x", STUDENT | policy, train={"steps": 2000, "batch_size": 64, "seed": 1})))
    assert f"- {sentence}\n" in text
