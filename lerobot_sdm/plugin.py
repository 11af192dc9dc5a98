"""Everything LeRobot must know of this package: policies, reward models, environments, optimizers, processor steps.

LeRobot's commands find the plugin by themselves. Python code that loads policies by LeRobot's functions needs one more
line, `import lerobot_policy_sdm`. A class that is imported has registered itself; whatever in this package turns a name
into a class by LeRobot's registries (reads a `config.json`, parses `--env.type`) calls `register_all` first.
"""

import functools
import importlib

REGISTERING = (
    "lerobot_sdm.optim",
    "lerobot_sdm.processors.depth_step",
    "lerobot_sdm.processors.imagined_robot",
    "lerobot_sdm.processors.observation_step",
    "lerobot_sdm.processors.point_cloud_step",
    "lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward",
    "lerobot_sdm.envs.adroit.configuration",
    "lerobot_sdm.envs.dexart.configuration",
    "lerobot_sdm.envs.metaworld.configuration",
    "lerobot_sdm.envs.pusht.configuration",
)
"""Modules whose classes register themselves. None imports more than LeRobot's own configurations do: no simulator, no
dataset, no network. The policy types are in a table of their own."""


@functools.cache
def register_all() -> None:
    """Register everything this package offers LeRobot. A second call costs nothing."""
    from lerobot_sdm import policies, quiet
    from lerobot_sdm.datasets import damage, fast_loading, matrix_columns, resume_order

    for name in REGISTERING:
        importlib.import_module(name)
    damage.register()
    fast_loading.register()
    matrix_columns.register()
    policies.register()
    resume_order.register()
    quiet.register()
