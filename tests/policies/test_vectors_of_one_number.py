"""A gripper's width as the only state or action: LeRobot's reader leaves out the axis of such vectors."""

from pathlib import Path

import pytest
import torch
from lerobot_commands import lerobot_train, make_small_dataset
from training_options import SOURCE_OF, TYPE_OPTIONS, options

from lerobot_sdm.measure.distillation import compare_to_teacher
from lerobot_sdm.measure.observations import held_out_observations
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec


@pytest.fixture(scope="module")
def gripper(tmp_path_factory) -> Path:
    return make_small_dataset(tmp_path_factory.mktemp("gripper") / "data", state_dim=1, action_dim=1)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, gripper, session_monkeypatch):
    """Every policy type, trained for two steps on the gripper."""
    known: dict[str, Path] = {}

    def train(kind: str) -> Path:
        if kind not in known:
            source = train(SOURCE_OF[kind]) if kind in SOURCE_OF else None
            output = tmp_path_factory.mktemp("runs") / kind
            known[kind] = lerobot_train(session_monkeypatch, gripper, output, *options(kind, source), steps=2)
        return known[kind]

    return train


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_every_type_trains_and_acts(checkpoints, kind):
    loaded = load_from_spec(PolicySpec("x", str(checkpoints(kind))))
    clouds = torch.rand(3, 12, 3)
    for state, cloud in ((torch.rand(3, 1), clouds), (torch.rand(1), clouds[0]), (torch.tensor(0.3), clouds[0])):
        loaded.policy.reset()
        batch = loaded.preprocess({"observation.state": state, "observation.point_cloud": cloud})
        assert loaded.postprocess(loaded.policy.select_action(batch)).shape == (3 if state.ndim == 2 else 1, 1)


def test_windows_of_a_data_set_are_compared(checkpoints, gripper):
    teacher, student = (load_from_spec(PolicySpec(kind, str(checkpoints(kind)))) for kind in ("dp3", "sdm"))
    observations = held_out_observations("local/small", gripper, teacher.config, count=3)
    assert observations["observation.state"].shape == (3, 2)
    floor, row = compare_to_teacher(teacher, [student], observations, samples=4)
    assert len(row.energy) == len(floor.energy) == 3
