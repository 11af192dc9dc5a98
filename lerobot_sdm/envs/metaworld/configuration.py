"""`--env.type=metaworld_pc`: MetaWorld with point clouds for LeRobot's commands."""

from dataclasses import dataclass, field
from typing import ClassVar

from lerobot.configs import PolicyFeature
from lerobot.envs.configs import EnvConfig

from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.envs.families import FAMILIES
from lerobot_sdm.envs.metaworld.tasks import CAMERAS, gym_id, task_groups
from lerobot_sdm.envs.metaworld.views import DEFAULT_VIEW, views
from lerobot_sdm.envs.options import CloudOptions, require_known, require_positive
from lerobot_sdm.registration import registered


@registered(EnvConfig, "metaworld_pc")
@dataclass
class MetaWorldPointCloudEnvConfig(PointCloudEnvConfig):
    """MetaWorld tasks observed as point clouds.

    Args:
        task: A task (`drawer-open` or `drawer-open-v3`), a difficulty (`easy`, `medium`, `hard`, `very_hard`),
            a suite (`metaworld-50`, `dp3-37`, `smoke`), or several of these, comma-separated.
        fps: Control steps per second; the simulator's own rate.
        episode_length: Steps after which an episode is truncated.
        terminate_on_success: Whether the first success ends the episode.
        view: How the scene is looked at: `workspace`, made for learning, or `dp3`, that of the DP3 demonstrations. Each
            of the next options replaces one value of the view; null leaves it.
        num_points: Rows of the point cloud.
        use_color: Whether each point carries r, g, b (0 to 255) after x, y, z.
        camera: Which of the scene's cameras looks.
        camera_size: Width and height of the depth image in pixels.
        frame: `legacy`, the camera-centered frame of the DP3 demonstrations, or `world`.
        crop: Two opposite corners [[xmin, ymin, zmin], [xmax, ymax, zmax]] in that frame.
        renderer: `egl`, `raycast`, or `auto` for the first that works.
        show_goal: Whether the goal is drawn, as a ball, into clouds and pictures. `workspace` draws it where nothing
            else shows it.
        show_markers: Whether MetaWorld's own markers of goals and parts are drawn.
        show_arm: Whether points on the robot's arm stay in the cloud.
        pixels: Whether observations hold the picture behind the cloud, as `observation.image`.
        render_size: Width and height of video frames.
        features: What observations and actions consist of; built from the fields above.
        features_map: Their names in datasets and policies; built likewise.

    Raises:
        InputError: For a value that cannot work, before any environment is built.
    """

    env_class: ClassVar[str] = FAMILIES["metaworld_pc"].env_class
    min_success_steps: ClassVar[int] = 5

    task: str = "drawer-open"
    fps: int = 80
    episode_length: int = 200
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
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task_groups(self.task)
        if self.camera is not None:
            require_known("camera", self.camera, CAMERAS)
        require_positive("episode_length", self.episode_length)
        self._describe(agent_pos_size=9, action_size=4)

    def views(self) -> dict[str, CloudOptions]:
        return views(self.task_names()[0])

    def task_groups(self) -> dict[str, list[str]]:
        return task_groups(self.task)

    @property
    def gym_id(self) -> str:
        """Gymnasium id, where `task` is a single one."""
        return gym_id(self.task)
