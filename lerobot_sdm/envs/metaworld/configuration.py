"""`--env.type=metaworld_pc`: MetaWorld with point clouds for LeRobot's commands."""

from dataclasses import dataclass
from typing import ClassVar

from lerobot.envs.configs import EnvConfig

from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.envs.metaworld.tasks import CAMERAS, CONTROL_RATE, task_groups
from lerobot_sdm.envs.options import FRAMES
from lerobot_sdm.registration import registered


@registered(EnvConfig, "metaworld_pc")
@dataclass
class MetaWorldPointCloudEnvConfig(PointCloudEnvConfig):
    """MetaWorld tasks observed as point clouds.

    Besides the fields of `PointCloudEnvConfig`. The frame `legacy` is camera-centered, and there is `hand`, the world's
    axes with the hand as origin. The view `workspace` draws the goal where nothing else shows it.

    Args:
        task: A task (`drawer-open` or `drawer-open-v3`), a difficulty (`easy`, `medium`, `hard`, `very_hard`),
            a suite (`metaworld-50`, `dp3-37`, `smoke`), or several of these, comma-separated.
        fps: Control steps per second; the simulator's own rate.
        episode_length: Steps after which an episode is truncated.
        terminate_on_success: Whether the first success ends the episode.

    Raises:
        InputError: For a value that cannot work, before any environment is built.
    """

    min_success_steps: ClassVar[int] = 5

    task: str = "drawer-open"
    fps: int = CONTROL_RATE
    episode_length: int = 200
    terminate_on_success: bool = True

    def __post_init__(self) -> None:
        task_groups(self.task)
        self._set_rate(CONTROL_RATE, "MetaWorld's control rate")
        self._describe(agent_pos_size=9, action_size=4, cameras=CAMERAS, frames=FRAMES)

    def task_groups(self) -> dict[str, list[str]]:
        return task_groups(self.task)
