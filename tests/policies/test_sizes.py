"""Wherever a checkpoint meets a dataset or an environment, one sentence names what differs, both shapes and whose."""

from pathlib import Path

import pytest
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.envs.configs import EnvConfig
from lerobot.policies import make_policy
from lerobot_commands import lerobot_eval, lerobot_train, make_small_dataset
from training_options import options

from lerobot_sdm.errors import InputError
from lerobot_sdm.measure.distillation import compare_to_teacher
from lerobot_sdm.measure.observations import held_out_observations
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.processors.sizes import check_environment, check_sizes, check_upright

STATE, CLOUD = "observation.state", "observation.point_cloud"


@pytest.fixture(scope="module")
def other_state(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("state") / "data", state_dim=7)


@pytest.fixture(scope="module")
def other_action(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("action") / "data", action_dim=6)


def refuse(found, known, **kwargs) -> str:
    with pytest.raises(InputError) as error:
        check_sizes(found, known, "the dataset", "the checkpoint at run", "Mend it.", **kwargs)
    return str(error.value)


def test_the_sentence():
    told = refuse({STATE: (9,)}, {STATE: (7,)})
    assert told == "'observation.state' has shape (9,) in the dataset and (7,) in the checkpoint at run. Mend it."


def test_what_is_missing_counts_only_where_everything_has_to_be_there():
    check_sizes({}, {STATE: (7,)}, "the dataset", "the checkpoint", "")
    assert "'observation.state' is missing in the dataset (it has action)" in refuse(
        {"action": (4,)}, {STATE: (7,)}, complete=True
    )


def test_clouds_may_differ_in_what_does_not_matter():
    """The number of points, the name, and colors that the policy does not use."""
    for found in ({CLOUD: (512, 3)}, {CLOUD: (512, 6)}, {"observation.pointcloud": (512, 3)}):
        check_sizes(found, {CLOUD: (64, 3)}, "the dataset", "the checkpoint", "", complete=True)
    assert "(512, 3) in the dataset and (64, 6)" in refuse({CLOUD: (512, 3)}, {CLOUD: (64, 6)})
    assert "(512, 6) in the dataset and (64, 3)" in refuse({CLOUD: (512, 6)}, {CLOUD: (64, 3)}, cut=False)
    assert "on its side" in refuse({CLOUD: (3, 512)}, {CLOUD: (64, 3)})


@pytest.mark.parametrize("shape", [(3, 17), (6, 1024), (16, 17), (2, 3, 1024)])
def test_a_cloud_on_its_side(shape):
    with pytest.raises(InputError, match=r"on its side.*swap its last two axes"):
        check_upright(CLOUD, shape, "the dataset")


@pytest.mark.parametrize("shape", [(1024, 3), (1, 3), (12, 3), (3, 6), (1024, 384), (1024, 17), (3,)])
def test_a_cloud_that_stands(shape):
    check_upright(CLOUD, shape, "the dataset")


@pytest.mark.parametrize("kind", ["dp3", "sdm"])
def test_fine_tuning_on_another_robot(trained, other_state, other_action, tmp_path, monkeypatch, kind):
    path = trained(kind)
    for data, offender in (
        (other_state, rf"'observation\.state' has shape \(7,\) in the dataset and \(9,\) in the checkpoint at {path}"),
        (other_action, rf"'action' has shape \(6,\) in the dataset and \(4,\) in the checkpoint at {path}"),
    ):
        with pytest.raises(InputError, match=offender + rf".*--policy\.type={kind}"):
            lerobot_train(monkeypatch, data, tmp_path / "run", f"--policy.path={path}", steps=2)
    assert not (tmp_path / "run").exists()


def test_distilling_on_another_robot(trained, other_state, other_action, tmp_path, monkeypatch):
    teacher = trained("dp3")
    for data, offender in (
        (other_state, rf"'observation\.state' has shape \(7,\) in the dataset and \(9,\) in the teacher at {teacher}"),
        (other_action, rf"'action' has shape \(6,\) in the dataset and \(4,\) in the teacher at {teacher}"),
    ):
        with pytest.raises(InputError, match=offender):
            lerobot_train(monkeypatch, data, tmp_path / "run", *options("sdm", teacher), steps=2)
    assert not (tmp_path / "run").exists()


def test_evaluating_where_the_state_is_another(other_state, tmp_path, monkeypatch):
    """LeRobot shows a policy nothing of an environment's observations before the first one."""
    path = lerobot_train(monkeypatch, other_state, tmp_path / "run", *options("dp3"), steps=2)
    env = ("--env.type=metaworld_pc", "--env.task=detour", "--env.num_points=12", "--env.episode_length=2")
    with pytest.raises(InputError, match=r"'observation\.state' has shape \(9,\) in the observation and \(7,\)"):
        lerobot_eval(monkeypatch, path, tmp_path / "eval", *env)


@pytest.mark.parametrize("kind", ["dp3", "difftori", "sdm"])
def test_evaluating_where_the_action_is_another(trained, kind):
    config = PreTrainedConfig.from_pretrained(trained(kind))
    config.pretrained_path = trained(kind)
    door = EnvConfig.get_choice_class("adroit")(task="door")
    offender = rf"'action' has shape \(28,\) in the environment and \(4,\) in the checkpoint at {trained(kind)}"
    with pytest.raises(InputError, match=offender):
        make_policy(config, env_cfg=door)


def test_an_environment_is_looked_at_before_it_is_built(trained):
    config = PreTrainedConfig.from_pretrained(trained("dp3"))
    door = EnvConfig.get_choice_class("adroit")(task="door")
    with pytest.raises(InputError, match=r"shape \(\d+,\) in the environment --env\.type=adroit and \(9,\).* at run"):
        check_environment(config, door, "run")
    config.input_features = {CLOUD: config.input_features[CLOUD]}
    pusht = EnvConfig.get_choice_class("pusht")()
    with pytest.raises(InputError, match=r"'observation\.point_cloud' is missing in the environment --env\.type=pusht"):
        check_environment(config, pusht, "run")


def test_distances_on_another_robot(trained, other_state, other_action, tmp_path, monkeypatch):
    teacher = load_from_spec(PolicySpec("teacher", str(trained("dp3"))))
    with pytest.raises(InputError, match=r"'observation\.state' has shape \(7,\) in the dataset .* \(9,\)"):
        held_out_observations("local/small", other_state, teacher.config, count=2)
    six = lerobot_train(monkeypatch, other_action, tmp_path / "run", *options("dp3"), steps=2)
    other = load_from_spec(PolicySpec("other", str(six)))
    seen = {STATE: torch.rand(1, 2, 9), CLOUD: torch.rand(1, 2, 12, 3)}
    with pytest.raises(InputError, match=r"'action' has shape \(6,\) in the policy 'other' and \(4,\) in the teacher"):
        compare_to_teacher(teacher, [other], seen, samples=2)
