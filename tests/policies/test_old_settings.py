"""Settings that earlier versions had: read where a file still holds them, with a warning, and refused elsewhere."""

import json
import logging
import shutil
from dataclasses import fields

import draccus
import pytest
from lerobot.configs.policies import PreTrainedConfig
from saved_checkpoints import SAVED

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies import config_classes

OF_LEROBOT = {item.name for item in fields(PreTrainedConfig)} | {"action_feature_names"}  # `make_policy` fills it in.
RETIRED = {kind: set(config.retired) for kind, config in config_classes().items()}


def decoded(kind: str, **settings) -> PreTrainedConfig:
    """As LeRobot's commands read a policy's part of a file of settings."""
    return draccus.decode(PreTrainedConfig, {"type": kind, "device": "cpu", **settings})


@pytest.mark.parametrize("kind", sorted(kind for kind, names in RETIRED.items() if names))
def test_a_saved_policy_is_read_with_a_warning_and_saved_without_them(kind, tmp_path, caplog):
    saved = json.loads((SAVED / kind / "config.json").read_text())
    assert RETIRED[kind] <= saved.keys()
    with caplog.at_level(logging.WARNING, "lerobot_sdm"):
        config = PreTrainedConfig.from_pretrained(SAVED / kind)
    (message,) = [record.getMessage() for record in caplog.records if "earlier version" in record.getMessage()]
    assert all(name in message for name in RETIRED[kind])
    config._save_pretrained(tmp_path)
    again = json.loads((tmp_path / "config.json").read_text())
    assert not RETIRED[kind] & again.keys()
    caplog.clear()
    assert PreTrainedConfig.from_pretrained(tmp_path) == config
    assert "earlier version" not in caplog.text


@pytest.mark.parametrize("kind", sorted(config_classes()))
def test_no_field_is_retired_and_in_use(kind):
    assert not RETIRED[kind] & {item.name for item in fields(config_classes()[kind])}


@pytest.mark.parametrize("kind", sorted(config_classes()))
def test_other_fields_that_nobody_knows_are_refused(kind):
    with pytest.raises(draccus.utils.DecodingError, match="num_layers"):
        decoded(kind, num_layers=3)


def test_consistency_has_at_most_forty_fields_of_its_own():
    assert len({item.name for item in fields(config_classes()["consistency"])} - OF_LEROBOT) <= 40


def test_a_saved_consistency_policy_keeps_its_network():
    saved = json.loads((SAVED / "consistency" / "config.json").read_text())
    network = PreTrainedConfig.from_pretrained(SAVED / "consistency").network_config
    assert (network.type, network.bins, network.sigma_max) == ("edm", saved["bins"], saved["sigma_max"])
    assert list(network.down_dims) == saved["down_dims"] == [8, 8]
    assert network.clip_sample_range == saved["clip_sample_range"]


def test_settings_written_before_training_take_the_network_of_the_teacher(tmp_path, caplog):
    shutil.copytree(SAVED / "edm", tmp_path / "edm")
    with caplog.at_level(logging.WARNING, "lerobot_sdm"):
        config = decoded("consistency", teacher_path=str(tmp_path / "edm"), bins=40, down_dims=[64, 128])
    assert config.network_config.bins == 80
    assert list(config.network_config.down_dims) == [8, 8]
    assert "bins, down_dims" in caplog.text


@pytest.mark.parametrize(("kind", "fix"), [("sdm", "--policy.type=consistency"), ("consistency", "chaining_times")])
def test_what_cannot_be_had_any_more_is_refused(kind, fix):
    with pytest.raises(InputError, match=rf"num_inference_steps=3: must be 1.*{fix}"):
        decoded(kind, num_inference_steps=3)
