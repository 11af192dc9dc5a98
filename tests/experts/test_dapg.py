"""DAPG policies: read as data, refused where they do not fit, and as good as published."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from adroit_files import write_policy

from lerobot_sdm.envs.adroit.configuration import AdroitPointCloudEnvConfig
from lerobot_sdm.envs.adroit.env import AdroitPointCloudEnv
from lerobot_sdm.envs.adroit.tasks import HAND_TASKS, hand_task
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import check_expert, make_expert
from lerobot_sdm.experts.dapg import load_policy
from lerobot_sdm.measure.expert import expert_successes
from lerobot_sdm.safe_files.unpickling import RefusedPickleError

PUBLIC = Path(__file__).parents[2] / "../shared/data/dapg"
needs_public = pytest.mark.skipif(not PUBLIC.exists(), reason="needs the shared hand_dapg policies")


class Malice:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_policy_computes_what_its_network_does(tmp_path):
    layers = write_policy(tmp_path / "policy.pickle", (39, 32, 32, 28))
    policy = load_policy(tmp_path / "policy.pickle")
    observations = np.random.default_rng(0).normal(size=(5, 39))
    x = (torch.tensor(observations, dtype=torch.float32) - 0.1) / (2.0 + 1e-8)
    with torch.no_grad():
        expected = layers[2](torch.tanh(layers[1](torch.tanh(layers[0](x))))) * 0.5 - 0.05
    np.testing.assert_allclose(policy(observations), expected.numpy(), atol=1e-6)
    assert policy.sizes == (39, 28)


def test_an_expert_acts_on_the_full_observation(tmp_path):
    write_policy(tmp_path / "pen.pickle", (45, 8, 24))
    expert = make_expert("dapg", "pen", path=tmp_path / "pen.pickle", clip=False)
    env = AdroitPointCloudEnv("pen", num_points=1, camera_size=1, renderer="raycast")
    expert.start(env, 3)
    expert.reset(env, 3)
    np.testing.assert_allclose(expert.act(env), load_policy(tmp_path / "pen.pickle")(env.expert_state), atol=1e-7)
    told = expert.provenance()
    assert told["file"] == "pen.pickle"
    assert len(told["sha256"]) == 64
    env.close()


def test_a_file_of_another_task_is_refused(tmp_path):
    write_policy(tmp_path / "door.pickle", (39, 8, 28))
    with pytest.raises(InputError, match=r"door.pickle: maps 39 observations to 28 actions, but pen has 45 and 24"):
        make_expert("dapg", "pen", path=tmp_path / "door.pickle")
    # Relocate sees as many numbers as the door, and has two more actuators.
    with pytest.raises(InputError, match="relocate has 39 and 30"):
        make_expert("dapg", "relocate", path=tmp_path / "door.pickle")


def test_a_hostile_pickle_is_refused_without_effect(tmp_path):
    (tmp_path / "bad.pickle").write_bytes(pickle.dumps(Malice(tmp_path / "pwned")))
    with pytest.raises(RefusedPickleError, match="asks for"):
        make_expert("dapg", "door", path=tmp_path / "bad.pickle")
    assert not (tmp_path / "pwned").exists()


def test_malice_inside_a_policy_is_refused_without_effect(tmp_path):
    """A real policy with one object more, which a tolerant reader would never look at."""
    write_policy(tmp_path / "good.pickle", (39, 8, 28))
    good, bad = (tmp_path / "good.pickle").read_bytes(), pickle.dumps(Malice(tmp_path / "pwned"), protocol=3)
    # Malice first, popped from the stack again, then the policy.
    (tmp_path / "bad.pickle").write_bytes(bad[:-1] + b"0" + good[2:])
    with pytest.raises(RefusedPickleError):
        load_policy(tmp_path / "bad.pickle")
    assert not (tmp_path / "pwned").exists()


def test_a_storage_is_no_door_to_other_pickles(tmp_path):
    """Storages are read by PyTorch, whose own allow-list has to hold."""
    hostile = pickle.dumps(Malice(tmp_path / "pwned"), protocol=3)

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (hostile,)

    (tmp_path / "bad.pickle").write_bytes(pickle.dumps(Storage(), protocol=3))
    with pytest.raises(InputError, match="storage cannot be read"):
        load_policy(tmp_path / "bad.pickle")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no pickle", "pickle"),
        (pickle.dumps({"model": 1}, protocol=3), "contains no mjrl"),
        (pickle.dumps(None, protocol=3), "contains no mjrl"),
    ],
)
def test_other_files_are_refused(tmp_path, content, said):
    (tmp_path / "other.pickle").write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_policy(tmp_path / "other.pickle")


def test_a_folder_is_no_policy(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\). Give a file"):
        load_policy(tmp_path)


def test_unusual_policies_are_refused(tmp_path):
    write_policy(tmp_path / "relu.pickle", (39, 8, 28), activation=torch.relu)
    with pytest.raises(InputError, match="'relu', not tanh"):
        load_policy(tmp_path / "relu.pickle")
    layers = write_policy(tmp_path / "good.pickle", (3, 2))
    content = (tmp_path / "good.pickle").read_bytes()
    bias = layers[0].bias.detach().numpy().tobytes()
    assert content.count(bias) == 1
    (tmp_path / "nan.pickle").write_bytes(content.replace(bias, np.full(2, np.nan, np.float32).tobytes()))
    with pytest.raises(InputError, match="not all finite"):
        load_policy(tmp_path / "nan.pickle")


@pytest.mark.parametrize(
    ("name", "env_type", "path", "said"),
    [
        ("dapg", "adroit", None, "--expert-path: is missing"),
        ("dapg", "adroit", Path("nowhere.pickle"), "nowhere.pickle: does not exist"),
        ("dapg", "metaworld_pc", Path("nowhere.pickle"), "supports adroit, not metaworld_pc"),
        ("scripted", "adroit", None, r"supports metaworld_pc, not adroit.*dapg"),
        ("scripted", "metaworld_pc", Path("x.pickle"), "reads no file"),
    ],
)
def test_experts_and_environments_that_do_not_fit(name, env_type, path, said):
    with pytest.raises(InputError, match=said):
        check_expert(name, env_type, path)


@needs_public
@pytest.mark.parametrize("task", HAND_TASKS)
def test_public_policies_fit_their_tasks(task):
    known = hand_task(task)
    policy = load_policy(PUBLIC / f"{task}-v0.pickle")
    assert policy.sizes == (known.full_observation_size, known.action_size)
    assert [weight.shape[0] for weight in policy.weights[:-1]] == ([64, 64] if task == "pen" else [32, 32])


@needs_public
@pytest.mark.parametrize(("task", "at_least"), [("door", 4), ("hammer", 4), ("relocate", 4), ("pen", 2)])
def test_public_policies_succeed(task, at_least):
    """Measured on 25 seeds: all for door, hammer and relocate, 80% for pen."""
    config = AdroitPointCloudEnvConfig(
        task=task, action_repeat=1, success_rule="gymnasium_robotics", renderer="raycast", terminate_on_success=True
    )
    assert sum(expert_successes(config, range(4), "dapg", path=PUBLIC / f"{task}-v0.pickle")) >= at_least
