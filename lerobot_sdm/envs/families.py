"""Table of this package's environment families. Imports no simulator, torch or LeRobot."""

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from lerobot_sdm.envs.adroit import tasks as adroit_tasks
from lerobot_sdm.envs.adroit import views as adroit_views
from lerobot_sdm.envs.dexart import tasks as dexart_tasks
from lerobot_sdm.envs.dexart import views as dexart_views
from lerobot_sdm.envs.metaworld import tasks as metaworld_tasks
from lerobot_sdm.envs.metaworld import views as metaworld_views
from lerobot_sdm.envs.options import CloudOptions
from lerobot_sdm.outlines import outline

SHARED = "lerobot_sdm.envs.configuration:PointCloudEnvConfig"
"""Base class of the families' configurations, with the fields that they share."""

INHERITED = {"max_parallel_tasks": (int, 1), "disable_env_checker": (bool, True)}
"""Fields of LeRobot's `EnvConfig` that no family redeclares: name -> type and default."""


@dataclass(frozen=True)
class Family:
    """Environments of one type, as `--env.type` names them.

    Attributes:
        env_class: The environment as "module:Class", so that naming it does not import its simulator.
        config_class: LeRobot's configuration of it, likewise.
        tasks: Short names of all tasks.
        gym_name: Its name in Gymnasium ids.
        task_names: Maps the value of `--env.task` to short names of tasks. Raises InputError.
        views: Short name of a task -> its views by name.
    """

    env_class: str
    config_class: str
    tasks: Collection[str]
    gym_name: str
    task_names: Callable[[str], list[str]]
    views: Callable[[str], dict[str, CloudOptions]]

    def gym_id(self, task: str) -> str:
        """The Gymnasium id of a task given by its short name."""
        return f"lerobot_sdm/{self.gym_name}-{task}-v0"

    def fields(self) -> dict[str, tuple[Any, Any]]:
        """Fields of the configuration, name -> type and default, without importing it; see `Outline`."""
        return outline(SHARED).fields | outline(self.config_class).fields | INHERITED

    def configuration(self, **fields: Any) -> Any:
        """LeRobot's configuration of an environment; imports LeRobot.

        Raises:
            InputError: A value cannot work.
        """
        return resolve_name(self.config_class)(**fields)

    def check(self, given: dict[str, Any]) -> None:
        """Check options through the environment, without the seconds of importing LeRobot; builds nothing.

        Args:
            given: Fields of the configuration by name; fields that only the configuration knows are ignored.

        Raises:
            InputError: A value cannot work.
        """
        names = self.task_names(given["task"]) if "task" in given else list(self.tasks)
        env_class = resolve_name(self.env_class)
        shared = outline(SHARED).fields.keys() - {"features", "features_map"}
        known = shared | inspect.signature(env_class).parameters.keys()
        env_class(**{key: value for key, value in given.items() if key in known} | {"task": names[0]})


FAMILIES: dict[str, Family] = {
    "metaworld_pc": Family(
        env_class="lerobot_sdm.envs.metaworld.env:MetaWorldPointCloudEnv",
        config_class="lerobot_sdm.envs.metaworld.configuration:MetaWorldPointCloudEnvConfig",
        tasks=metaworld_tasks.all_tasks(),
        gym_name="MetaWorld",
        task_names=metaworld_tasks.resolve_tasks,
        views=metaworld_views.views,
    ),
    "adroit": Family(
        env_class="lerobot_sdm.envs.adroit.env:AdroitPointCloudEnv",
        config_class="lerobot_sdm.envs.adroit.configuration:AdroitPointCloudEnvConfig",
        tasks=adroit_tasks.HAND_TASKS,
        gym_name="Adroit",
        task_names=lambda task: [adroit_tasks.hand_task(task).name],
        views=lambda task: adroit_views.views(adroit_tasks.hand_task(task)),
    ),
    "dexart": Family(
        env_class="lerobot_sdm.envs.dexart.env:DexArtPointCloudEnv",
        config_class="lerobot_sdm.envs.dexart.configuration:DexArtPointCloudEnvConfig",
        tasks=dexart_tasks.DEXART_TASKS,
        gym_name="DexArt",
        task_names=lambda task: [dexart_tasks.dexart_task(task).name],
        views=lambda task: dexart_views.views(dexart_tasks.RULE_SETS["dp3"]),
    ),
}
"""Environment type -> family."""
