"""Environments as `TYPE,FIELD=VALUE` on the command line."""

import pytest

from lerobot_sdm.envs.spec import env_config
from lerobot_sdm.errors import InputError


def test_values_are_read_as_yaml():
    config = env_config("metaworld_pc,task=reach,num_points=32,crop=[[-1,-1,0],[1,1,1]],show_goal=true")
    assert (config.task, config.num_points, config.show_goal) == ("reach", 32, True)
    assert config.crop == [[-1, -1, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("text", "offender"),
    [
        ("metawrld_pc,task=reach", "metaworld_pc"),
        ("metaworld_pc,tsk=reach", "'tsk' is not known. Did you mean 'task'"),
        ("metaworld_pc,task=reach,crop=[[1,2", r"'\[\[1,2' cannot be read as YAML"),
        ("metaworld_pc,task=@reach", "'@reach' cannot be read as YAML"),
        ("metaworld_pc,task=5", "task: 5 names no task"),
        ("metaworld_pc,task=[reach,push]", "task"),
        ("metaworld_pc,task=reach,view=[dp3]", "view"),
        ("adroit,task=[pen]", "task"),
        ("dexart,task=[faucet]", "task"),
        ("metaworld_pc,task=reach,num_points=many", "num_points"),
    ],
)
def test_what_cannot_be_is_refused_by_name(text, offender):
    with pytest.raises(InputError, match=offender):
        env_config(text)
