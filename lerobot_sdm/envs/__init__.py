"""Point-cloud environments: Gymnasium ids, and environment types for LeRobot's commands."""

from importlib import import_module

import gymnasium as gym

from lerobot_sdm.envs.families import FAMILIES

DENSE_PUSHT_ID = "lerobot_sdm/PushTDense-v0"


def register_gym_ids() -> None:
    """Register `lerobot_sdm/MetaWorld-<task>-v0`, `lerobot_sdm/Adroit-<task>-v0`, `lerobot_sdm/DexArt-<task>-v0` and
    `lerobot_sdm/PushTDense-v0` with Gymnasium.

    Only names are registered; no simulator is imported.
    """
    for family in FAMILIES.values():
        for task in family.tasks:
            if family.gym_id(task) not in gym.registry:
                gym.register(id=family.gym_id(task), entry_point=family.env_class, kwargs={"task": task})
    if DENSE_PUSHT_ID not in gym.registry:
        gym.register(id=DENSE_PUSHT_ID, entry_point="lerobot_sdm.envs.pusht.dense:DensePushTEnv", max_episode_steps=300)


def register_env_types() -> None:
    """Register the environment types with LeRobot, which happens as their configurations are imported."""
    for family in FAMILIES.values():
        import_module(family.config_class.partition(":")[0])
    import_module("lerobot_sdm.envs.pusht.configuration")
