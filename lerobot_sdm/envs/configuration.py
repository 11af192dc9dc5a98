"""Base class of all point-cloud environments' configurations; a family adds its fields."""

import functools
import importlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import gymnasium as gym
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.processor import PolicyProcessorPipeline
from lerobot.utils.constants import ACTION, OBS_IMAGE, OBS_STATE

from lerobot_sdm.envs.options import OPTION_NAMES, CloudOptions, described_view, options_of_view, require_positive
from lerobot_sdm.processors.cloud_view import CloudViewStep

OBS_POINT_CLOUD = "observation.point_cloud"


class PointCloudEnvConfig(EnvConfig):
    """An environment that `lerobot-sdm record` can record and LeRobot's commands can evaluate in.

    A family's dataclass has `view` and the fields of `CloudOptions`, where None means the view's value, and
    `episode_length`, `terminate_on_success`, `pixels` and `render_size`; it calls `_describe` in its `__post_init__`.
    """

    env_class: ClassVar[str]
    """The environment's class as "module:Class", so that naming it does not import its simulator."""

    min_success_steps: ClassVar[int]
    """Simulator steps for which a demonstration must be at the goal, as in the DP3 scripts."""

    def _describe(self, agent_pos_size: int, action_size: int) -> None:
        """Check the options and fill in features and their names."""
        require_positive("render_size", self.render_size)
        options = self.cloud_options()
        self.features = {
            "agent_pos": PolicyFeature(FeatureType.STATE, (agent_pos_size,)),
            "point_cloud": PolicyFeature(FeatureType.STATE, (options.num_points, options.channels)),
            "action": PolicyFeature(FeatureType.ACTION, (action_size,)),
        }
        self.features_map = {"agent_pos": OBS_STATE, "point_cloud": OBS_POINT_CLOUD, "action": ACTION}
        if self.pixels:
            self.features["pixels"] = PolicyFeature(FeatureType.VISUAL, (options.camera_size, options.camera_size, 3))
            self.features_map["pixels"] = OBS_IMAGE

    def cloud_options(self) -> CloudOptions:
        """The checked options of the cloud."""
        return options_of_view(self.views(), self.view, **{name: getattr(self, name) for name in OPTION_NAMES})

    def cloud_view(self) -> dict[str, Any]:
        """Description of how clouds are made, as stored with datasets and policies."""
        return {"env_type": self.type} | described_view(self.view, self.cloud_options())

    def get_env_processors(self) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
        """LeRobot's hook: adds to observations how their clouds are made, so that a policy can check it."""
        return PolicyProcessorPipeline(steps=[CloudViewStep(self.cloud_view())]), PolicyProcessorPipeline(steps=[])

    @abstractmethod
    def views(self) -> dict[str, CloudOptions]:
        """The views that `view` can name, for the first of the tasks."""

    @abstractmethod
    def task_groups(self) -> dict[str, list[str]]:
        """The tasks that `task` names, grouped by the name that selected them."""

    def dataset_name(self, task: str) -> str:
        """Default name of a task's demonstrations."""
        return task

    def task_names(self) -> list[str]:
        """The tasks that `task` names, each once, in the order given."""
        return list(dict.fromkeys(task for tasks in self.task_groups().values() for task in tasks))

    def as_recorded(self, task: str, pixels: bool) -> Self:
        """The environment for demonstrations of one task; it continues after success."""
        return replace(self, task=task, pixels=pixels, terminate_on_success=False)

    @property
    def gym_kwargs(self) -> dict:
        """Keyword arguments of the environment, except the task."""
        names = ["view", *OPTION_NAMES, "episode_length", "terminate_on_success", "pixels", "render_size"]
        return {name: getattr(self, name) for name in names}

    def maker(self, task: str) -> Callable[[], gym.Env]:
        """What builds a single environment of a task; it can be sent to another process."""
        module, name = self.env_class.split(":")
        return functools.partial(getattr(importlib.import_module(module), name), task=task, **self.gym_kwargs)

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, gym.vector.VectorEnv]]:
        """Build one vector environment per task.

        Args:
            n_envs: Members of each vector environment.
            use_async_envs: Whether members run in separate processes; needs at least two members.

        Returns:
            For each part of `task`, under its own name, its vector environments by position. No simulator and
            no process is started before the first reset.
        """
        from lerobot_sdm.envs.vector import make_vector_env

        def build(task: str) -> gym.vector.VectorEnv:
            return make_vector_env(self.maker(task), n_envs, use_async_envs, preload=self.env_class.partition(":")[0])

        return {name: dict(enumerate(map(build, tasks))) for name, tasks in self.task_groups().items()}
