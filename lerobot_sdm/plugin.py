"""Register this package with LeRobot: policies, rewards, environments, a robot, optimizers and processor steps.

LeRobot's commands find the plugin by themselves. Python code that loads policies with LeRobot's functions needs one
more line, `import lerobot_policy_sdm`. Code in this package that looks up a class in LeRobot's registries (to read a
`config.json` or parse `--policy.type`) calls `register_all` first, or what it needs of it.
"""

import functools


@functools.cache
def register_all() -> None:
    """Register everything this package offers to LeRobot. Calling it again is free.

    Importing a class registers it. No simulator, dataset or network is imported.
    """
    import lerobot_sdm.optim
    import lerobot_sdm.rewards.chunk_reward.configuration_chunk_reward
    import lerobot_sdm.robots.config_simulated  # noqa: F401
    from lerobot_sdm import datasets, envs, help_texts, policies, processors, quiet

    datasets.register()
    envs.register_env_types()
    help_texts.register()
    policies.register()
    processors.register()
    quiet.register()
