"""Point-cloud environments: Gymnasium ids, and environment types for LeRobot's commands."""


def register() -> None:
    """Register `lerobot_sdm/MetaWorld-<task>-v0`, `lerobot_sdm/Adroit-<task>-v0` and `lerobot_sdm/DexArt-<task>-v0`
    with Gymnasium, and the environment types `metaworld_pc`, `adroit` and `dexart` with LeRobot; Push-T with a dense
    reward, `lerobot_sdm/PushTDense-v0` and `pusht_dense`, too.

    Only names are registered; no simulator is imported.
    """
    import gymnasium as gym
    from lerobot.envs.configs import EnvConfig

    from lerobot_sdm.envs import adroit_tasks, dexart_tasks, tasks
    from lerobot_sdm.envs.configuration_adroit import AdroitPointCloudEnvConfig
    from lerobot_sdm.envs.configuration_dexart import DexArtPointCloudEnvConfig
    from lerobot_sdm.envs.configuration_metaworld import MetaWorldPointCloudEnvConfig
    from lerobot_sdm.envs.configuration_pusht import GYM_ID, DensePushTEnvConfig
    from lerobot_sdm.registration import register_choice

    register_choice(EnvConfig, "metaworld_pc", MetaWorldPointCloudEnvConfig)
    register_choice(EnvConfig, "adroit", AdroitPointCloudEnvConfig)
    register_choice(EnvConfig, "dexart", DexArtPointCloudEnvConfig)
    register_choice(EnvConfig, "pusht_dense", DensePushTEnvConfig)
    ids = {tasks.gym_id(task): (MetaWorldPointCloudEnvConfig, task) for task in tasks.all_tasks()}
    ids |= {adroit_tasks.gym_id(task): (AdroitPointCloudEnvConfig, task) for task in adroit_tasks.HAND_TASKS}
    ids |= {dexart_tasks.gym_id(task): (DexArtPointCloudEnvConfig, task) for task in dexart_tasks.DEXART_TASKS}
    for name, (config_class, task) in ids.items():
        if name not in gym.registry:
            gym.register(id=name, entry_point=config_class.env_class, kwargs={"task": task})
    if GYM_ID not in gym.registry:
        gym.register(id=GYM_ID, entry_point="lerobot_sdm.envs.pusht_dense:DensePushTEnv", max_episode_steps=300)
