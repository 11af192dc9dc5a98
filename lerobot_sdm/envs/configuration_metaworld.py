"""`--env.type=metaworld_pc`: MetaWorld with point clouds for LeRobot's commands."""

import functools
from dataclasses import dataclass, field, fields

import gymnasium as gym
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.utils.constants import ACTION, OBS_IMAGE, OBS_STATE

from lerobot_sdm.envs.options import CloudOptions, require_positive
from lerobot_sdm.envs.tasks import gym_id, task_groups

OBS_POINT_CLOUD = "observation.point_cloud"


@dataclass
class MetaWorldPointCloudEnvConfig(EnvConfig):
    """MetaWorld tasks observed as point clouds.

    Args:
        task: A task (`drawer-open` or `drawer-open-v3`), a difficulty (`easy`, `medium`, `hard`, `very_hard`),
            a suite (`metaworld-50`, `dp3-37`, `smoke`), or several of these with commas between.
        fps: Control steps per second; the simulator's own rate.
        episode_length: Steps after which an episode is truncated.
        terminate_on_success: Whether the first success ends the episode.
        num_points: Rows of the point cloud.
        use_color: Whether each point carries r, g, b (0 to 255) after x, y, z.
        camera: Which of the scene's cameras looks.
        camera_size: Width and height of the depth image in pixels.
        frame: `legacy`, the camera-centred frame of the DP3 demonstrations, or `world`.
        crop: Two opposite corners [[xmin, ymin, zmin], [xmax, ymax, zmax]] in that frame; null for its default.
        renderer: `egl`, `raycast`, or `auto` for the first that works.
        pixels: Whether observations hold the picture behind the cloud, as `observation.image`.
        show_goal: Whether the goal is drawn, as a ball, into clouds and pictures.
        render_size: Width and height of video frames.
        features: What observations and actions consist of; built from the fields above.
        features_map: Their names in datasets and policies; built likewise.

    Raises:
        InputError: For a value that cannot work, before any environment is built.
    """

    task: str = "drawer-open"
    fps: int = 80
    episode_length: int = 200
    terminate_on_success: bool = True
    num_points: int = 512
    use_color: bool = False
    camera: str = "corner2"
    camera_size: int = 128
    frame: str = "legacy"
    crop: list[list[float]] | None = None
    renderer: str = "auto"
    pixels: bool = False
    show_goal: bool = False
    render_size: int = 256
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task_groups(self.task)
        require_positive("episode_length", self.episode_length)
        require_positive("render_size", self.render_size)
        options = CloudOptions(**{option.name: getattr(self, option.name) for option in fields(CloudOptions)})

        self.features = {
            "agent_pos": PolicyFeature(FeatureType.STATE, (9,)),
            "point_cloud": PolicyFeature(FeatureType.STATE, (options.num_points, options.channels)),
            "action": PolicyFeature(FeatureType.ACTION, (4,)),
        }
        self.features_map = {"agent_pos": OBS_STATE, "point_cloud": OBS_POINT_CLOUD, "action": ACTION}
        if self.pixels:
            self.features["pixels"] = PolicyFeature(FeatureType.VISUAL, (self.camera_size, self.camera_size, 3))
            self.features_map["pixels"] = OBS_IMAGE

    @property
    def gym_id(self) -> str:
        """Gymnasium id, where `task` is a single one."""
        return gym_id(self.task)

    @property
    def gym_kwargs(self) -> dict:
        """Keyword arguments of `MetaWorldPointCloudEnv`, but for the task."""
        names = [option.name for option in fields(CloudOptions)]
        names += ["episode_length", "terminate_on_success", "pixels", "render_size"]
        return {name: getattr(self, name) for name in names}

    def create_envs(self, n_envs: int, use_async_envs: bool = False) -> dict[str, dict[int, gym.vector.VectorEnv]]:
        """Build one vector environment per task.

        Args:
            n_envs: Members of each vector environment.
            use_async_envs: Whether members run in processes of their own; needs at least two members.

        Returns:
            For each part of `task`, under its own name, its vector environments by position. No simulator and
            no process is started before the first reset.
        """
        from lerobot_sdm.envs.metaworld import MetaWorldPointCloudEnv
        from lerobot_sdm.envs.vector import make_vector_env

        def build(task: str) -> gym.vector.VectorEnv:
            make_one = functools.partial(MetaWorldPointCloudEnv, task=task, **self.gym_kwargs)
            return make_vector_env(make_one, n_envs, use_async_envs)

        groups = task_groups(self.task)
        return {name: dict(enumerate(map(build, tasks))) for name, tasks in groups.items()}
