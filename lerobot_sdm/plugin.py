"""Register this package with LeRobot: policies, rewards, environments, a robot, optimizers and processor steps.

LeRobot's commands find the plugin by themselves. Python code that loads policies with LeRobot's functions needs one
more line, `import lerobot_policy_sdm`. Importing a class registers it. Code in this package that looks up a class in
LeRobot's registries (to read a `config.json` or parse `--env.type`) calls `register_all` first.
"""

import functools
import importlib

from lerobot_sdm.envs.families import FAMILIES

REGISTERING = (
    "lerobot_sdm.optim",
    "lerobot_sdm.processors.depth_step",
    "lerobot_sdm.processors.imagined_robot",
    "lerobot_sdm.processors.observation_step",
    "lerobot_sdm.processors.point_cloud_step",
    "lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward",
    "lerobot_sdm.envs.pusht.configuration",
    "lerobot_sdm.robots.config_simulated",
)
"""Modules whose import registers their classes. They import no more than LeRobot's own configurations do: no simulator,
dataset or network. `policy_types` lists the policy types, `FAMILIES` those of point-cloud environments."""


@functools.cache
def register_all() -> None:
    """Register everything this package offers to LeRobot. Calling it again is free."""
    from lerobot_sdm import policies, quiet
    from lerobot_sdm.datasets import checked_metadata, fast_loading, matrix_columns, resume_order

    for name in (*REGISTERING, *(family.config_class.partition(":")[0] for family in FAMILIES.values())):
        importlib.import_module(name)
    checked_metadata.register()
    fast_loading.register()
    matrix_columns.register()
    policies.register()
    resume_order.register()
    quiet.register()
