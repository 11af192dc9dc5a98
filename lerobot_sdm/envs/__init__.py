"""Point-cloud environments: Gymnasium ids, and environment types for LeRobot's commands."""


def register() -> None:
    """Register `lerobot_sdm/MetaWorld-<task>-v0` with Gymnasium and `metaworld_pc` with LeRobot.

    Only names are registered; no simulator is imported.
    """
    import gymnasium as gym
    from lerobot.envs.configs import EnvConfig

    from lerobot_sdm.envs.configuration_metaworld import MetaWorldPointCloudEnvConfig
    from lerobot_sdm.envs.tasks import all_tasks, gym_id
    from lerobot_sdm.registration import register_choice

    register_choice(EnvConfig, "metaworld_pc", MetaWorldPointCloudEnvConfig)
    entry_point = "lerobot_sdm.envs.metaworld:MetaWorldPointCloudEnv"
    for task in all_tasks():
        if gym_id(task) not in gym.registry:
            gym.register(id=gym_id(task), entry_point=entry_point, kwargs={"task": task})
