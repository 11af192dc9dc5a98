"""Base class of all point-cloud environments' configurations; a family adds its fields."""

import functools
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields, replace
from pkgutil import resolve_name
from typing import Any, ClassVar, Self

import gymnasium as gym
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.processor import PolicyProcessorPipeline
from lerobot.utils.constants import ACTION, OBS_IMAGE, OBS_STATE

from lerobot_sdm.clouds import POINT_CLOUD
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.options import (
    DEFAULT_VIEW,
    FIXED_FRAMES,
    OPTION_NAMES,
    CloudOptions,
    check_chunk,
    described_view,
    options_of_view,
    require_positive,
)
from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.processors.cloud_view import CloudViewStep

logger = logging.getLogger(__name__)


@dataclass
class PointCloudEnvConfig(EnvConfig):
    """Options of every point-cloud environment.

    Args:
        episode_length: Control steps after which an episode is truncated; null for the benchmark's.
        terminate_on_success: Whether the first success ends the episode.
        view: What the clouds show: `workspace`, made for learning, or `dp3`, that of the DP3 demonstrations. Each
            of the next options replaces one value of the view; null leaves it.
        num_points: Rows of the point cloud.
        use_color: Whether each point carries r, g, b (0 to 255) after x, y, z.
        camera: Camera of the scene that the cloud is made from.
        camera_size: Width and height of the depth image in pixels.
        frame: `legacy`, the frame of the DP3 demonstrations, or `world`.
        crop: Two opposite corners [[xmin, ymin, zmin], [xmax, ymax, zmax]] in that frame.
        renderer: `egl`, `raycast`, or `auto` for the first that works.
        show_goal: Whether the goal is drawn, as a ball, into clouds and pictures.
        show_markers: Whether the simulator's own markers of goals and parts are drawn.
        show_arm: Whether points on the robot's arm stay in the cloud.
        pixels: Whether observations hold the picture behind the cloud, as `observation.image`.
        render_size: Width and height of video frames.
        n_action_steps: The `--policy.n_action_steps` of the policy that acts, to make only the clouds that it reads.
            Others are NaN, from which no policy of this package plans. The results are the same, and an evaluation
            is faster. null makes all clouds, which recordings need.
        n_obs_steps: The `--policy.n_obs_steps` that goes with it.
        features: What observations and actions consist of; built from the fields above.
        features_map: Their names in datasets and policies; built likewise.

    Raises:
        InputError: For a value that cannot work, before any environment is built.
    """

    min_success_steps: ClassVar[int]
    """Simulator steps for which a demonstration must be at the goal, as in the DP3 scripts."""

    episode_length: int | None = None
    terminate_on_success: bool = True
    view: str = DEFAULT_VIEW
    num_points: int | None = None
    use_color: bool | None = None
    camera: str | None = None
    camera_size: int | None = None
    frame: str | None = None
    crop: list[list[float]] | None = None
    renderer: str | None = None
    show_goal: bool | None = None
    show_markers: bool | None = None
    show_arm: bool | None = None
    pixels: bool = False
    render_size: int = 256
    n_action_steps: int | None = None
    n_obs_steps: int = 2
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def _set_rate(self, rate: int, what: str) -> None:
        """Set `fps` to the control rate, or refuse a given one that differs; `what` names it in the message."""
        if self.fps not in (type(self).fps, rate):
            raise InputError(f"fps={self.fps}: {what} is {rate}. Leave it out.")
        self.fps = rate

    def _describe(
        self,
        agent_pos_size: int,
        action_size: int,
        cameras: Collection[str],
        frames: Collection[str] = FIXED_FRAMES,
    ) -> None:
        """Check the options and fill in features and their names. Each family calls it in its `__post_init__`."""
        if self.max_parallel_tasks != 1:
            # Nor can an OpenGL context move between the threads in which LeRobot would run the tasks.
            raise InputError(
                f"max_parallel_tasks={self.max_parallel_tasks}: must be 1, because a policy keeps one history of "
                "observations, which tasks in parallel would mix. Drop it, and use --eval.batch_size for speed."
            )
        require_positive("render_size", self.render_size)
        if self.episode_length is not None:
            require_positive("episode_length", self.episode_length)
        check_chunk(self.n_action_steps, self.n_obs_steps, self.pixels)
        options = self.cloud_options()
        check_known("camera", options.camera, cameras)
        check_known("frame", options.frame, frames)
        self.features = {
            "agent_pos": PolicyFeature(FeatureType.STATE, (agent_pos_size,)),
            "point_cloud": PolicyFeature(FeatureType.STATE, (options.num_points, options.channels)),
            "action": PolicyFeature(FeatureType.ACTION, (action_size,)),
        }
        self.features_map = {"agent_pos": OBS_STATE, "point_cloud": POINT_CLOUD, "action": ACTION}
        if self.pixels:
            self.features["pixels"] = PolicyFeature(FeatureType.VISUAL, (options.camera_size, options.camera_size, 3))
            self.features_map["pixels"] = OBS_IMAGE

    def cloud_options(self, task: str | None = None) -> CloudOptions:
        """The checked options of a task's cloud; the first task's for None."""
        views = self.views(task or self.task_names()[0])
        return options_of_view(views, self.view, **{name: getattr(self, name) for name in OPTION_NAMES})

    def cloud_view(self) -> dict[str, Any]:
        """Description of how clouds are made, as stored with datasets and policies.

        Of several tasks, only the options that are equal for all; frames and boxes may differ, which a warning says.
        """
        first, *others = self.task_names()
        told = described_view(self.view, self.cloud_options(first))
        seen = {task: described_view(self.view, self.cloud_options(task)) for task in others}
        differing = {task: view for task, view in seen.items() if view != told}
        if differing:
            logger.warning(
                "--env.task=%s: %s are seen in other frames or boxes than %s, and policies cannot check such options "
                "against their training data. Give --env.frame and --env.crop to see all tasks alike.",
                self.task,
                ", ".join(differing),
                first,
            )
        shared = {name: value for name, value in told.items() if all(view[name] == value for view in seen.values())}
        return {"env_type": self.type} | shared

    def get_env_processors(self) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
        """LeRobot's hook: adds to observations how their clouds are made, so that a policy can check it."""
        return PolicyProcessorPipeline(steps=[CloudViewStep(self.cloud_view())]), PolicyProcessorPipeline(steps=[])

    def views(self, task: str) -> dict[str, CloudOptions]:
        """The views of a task that `view` can name; they may differ in frame and box alone."""
        return FAMILIES[self.type].views(task)

    def task_groups(self) -> dict[str, list[str]]:
        """The tasks that `task` names, grouped by the name that selected them."""
        return {self.task: [self.task]}

    @property
    def gym_id(self) -> str:
        """Gymnasium id, where `task` is a single one.

        Raises:
            InputError: It names several.
        """
        return FAMILIES[self.type].gym_id(self.single_task())

    def dataset_name(self, task: str) -> str:
        """Default name of a task's demonstrations."""
        return task

    def task_names(self) -> list[str]:
        """The tasks that `task` names, each once, in the order given."""
        return list(dict.fromkeys(task for tasks in self.task_groups().values() for task in tasks))

    def single_task(self, given: str | None = None) -> str:
        """Short name of the task, where `task` is a single one; `given` is the option with its value, if another one.

        Raises:
            InputError: It names several.
        """
        names = self.task_names()
        if len(names) != 1:
            raise InputError(f"{given or f'--env.task={self.task}'}: names {len(names)} tasks. Give a single one.")
        return names[0]

    def as_recorded(self, task: str, pixels: bool) -> Self:
        """The environment for demonstrations of one task; it continues after success.

        Raises:
            InputError: Clouds would be missing.
        """
        self.require_all_clouds()
        return replace(self, task=task, pixels=pixels, terminate_on_success=False)

    def require_all_clouds(self, option: str = "--env.n_action_steps") -> None:
        """Raise an InputError if clouds are left out that a dataset needs; `option` is where they would be."""
        if self.n_action_steps is not None:
            raise InputError(
                f"{option}={self.n_action_steps}: leaves out clouds, and a dataset needs all of them. Drop the option."
            )

    @property
    def gym_kwargs(self) -> dict:
        """Keyword arguments of the environment, except the task: all fields that LeRobot's base class lacks."""
        lerobots = {item.name for item in fields(EnvConfig)}
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in lerobots}

    def maker(self, task: str) -> Callable[[], gym.Env]:
        """What builds a single environment of a task; it can be sent to another process."""
        return functools.partial(resolve_name(FAMILIES[self.type].env_class), task=task, **self.gym_kwargs)

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

        module = FAMILIES[self.type].env_class.partition(":")[0]

        def build(task: str) -> gym.vector.VectorEnv:
            return make_vector_env(self.maker(task), n_envs, use_async_envs, preload=module)

        return {name: dict(enumerate(map(build, tasks))) for name, tasks in self.task_groups().items()}
