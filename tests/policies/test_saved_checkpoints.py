"""Checkpoints of earlier versions load, and their policies act as they did."""

import pytest
import torch
from lerobot.configs.train import TrainPipelineConfig
from saved_checkpoints import SAVED, answers, stored_answers

from lerobot_sdm.policies import config_classes

CHECKPOINTS = sorted(folder.name for folder in SAVED.iterdir() if folder.name != "reward")
TOLERANCE = {"edm": 1e-1, "dp3": 5e-4}
"""How far normalized actions may be from those of the processor that wrote them, 1e-4 for all other types, and a tenth
of that on average. Matrix products add up in another order on each processor, and with each place of their operands in
memory; a hardly trained `edm`, whose noise begins at 80, multiplies that: to 0.042, and 0.005 on average, on one
without AVX-512. The ten steps of `dp3` do so, too: computed in double precision, its actions are 0.6e-4 from those of
the processor that wrote them, and 1.5e-4 lie between these and the actions of one with AMX. With
MKL_CBWR=COMPATIBLE and without oneDNN the answers of two versions are the same bit for bit on the same machine."""


def assert_close(now: torch.Tensor, before: torch.Tensor, name: str) -> None:
    tolerance = TOLERANCE.get(name, 1e-4)
    torch.testing.assert_close(now, before, rtol=0, atol=tolerance)
    assert float((now - before).abs().mean()) < tolerance / 10


def test_there_is_a_checkpoint_of_every_policy_type():
    assert set(CHECKPOINTS) >= set(config_classes())


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_saved_policy_acts_as_it_did(name, monkeypatch):
    monkeypatch.chdir(SAVED)
    before, now = stored_answers(SAVED / name), answers(SAVED / name)
    assert before.keys() == now.keys()
    for key, expected in before.items():
        assert_close(now[key], expected, name)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_saved_policy_stands_alone(name, tmp_path, monkeypatch):
    """Where the policy that it was made from is gone, here because paths begin in another folder."""
    monkeypatch.chdir(tmp_path)
    before, now = stored_answers(SAVED / name), answers(SAVED / name)
    assert_close(now["chunk"], before["chunk"], name)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_saved_train_config_is_read(name, monkeypatch):
    monkeypatch.chdir(SAVED)
    config = TrainPipelineConfig.from_pretrained(SAVED / name)
    assert config.policy.type == name
    assert config.policy.horizon == 8
    assert config.policy.device == "cpu"
