"""The scripted expert of DexArt: a demonstration of one task, start to success."""

import pytest

from lerobot_sdm.envs.dexart.configuration import DexArtPointCloudEnvConfig
from lerobot_sdm.errors import InputError
from lerobot_sdm.experts import default_expert, make_expert
from lerobot_sdm.measure.expert import expert_successes


def test_the_expert_turns_a_faucet():
    config = DexArtPointCloudEnvConfig(task="faucet")
    assert default_expert(config.type, config.task) == "dexart"
    assert any(expert_successes(config, (3, 4)))


def test_it_knows_its_tasks():
    with pytest.raises(InputError, match=r"'hammer' is not known.*laptop"):
        make_expert("dexart", "hammer")
