"""`--env.type=adroit`: the Adroit tasks with point clouds for LeRobot's commands."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from lerobot.envs.configs import EnvConfig

from lerobot_sdm.envs.adroit.tasks import hand_task
from lerobot_sdm.envs.configuration import PointCloudEnvConfig
from lerobot_sdm.envs.hand_task import SIMULATOR_RATE, SUCCESS_RULES
from lerobot_sdm.envs.options import require_positive
from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.registration import registered


@registered(EnvConfig, "adroit")
@dataclass
class AdroitPointCloudEnvConfig(PointCloudEnvConfig):
    """Adroit tasks observed as point clouds.

    Besides the fields of `PointCloudEnvConfig`. DP3's camera is `top` or, for pen, `vil_camera`; the frames' own boxes
    leave out table and floor. The arm is the forearm, and only relocate has a goal that is drawn.

    Args:
        task: `hammer`, `door`, `pen` or `relocate`. Their actions differ, so a policy fits one task.
        fps: Control steps per second: 100, divided by `action_repeat`.
        action_repeat: Simulator steps of 10 ms for which an action is held; 2 in DP3.
        success_rule: `dp3`, its goal at the last two control steps; `dp3_ever`, the same goal at any time; `dapg`,
            the original goal for more than 25 simulator steps (pen 20); `gymnasium_robotics`, the original goal
            at any time.
        episode_length: Control steps after which an episode is truncated; null for the benchmark's, 100 and
            50 for pen at an action repeat of 2.
        terminate_on_success: Whether the first success ends the episode.

    Raises:
        InputError: For a value that cannot work, before any environment is built.
    """

    min_success_steps: ClassVar[int] = 10

    task: str = "hammer"
    fps: int = 50
    action_repeat: int = 2
    success_rule: str = "dp3"
    episode_length: int | None = None
    terminate_on_success: bool = False

    def __post_init__(self) -> None:
        task = hand_task(self.task)
        check_known("success_rule", self.success_rule, SUCCESS_RULES)
        require_positive("action_repeat", self.action_repeat)
        if SIMULATOR_RATE % self.action_repeat:
            raise InputError(f"action_repeat={self.action_repeat}: give a divisor of {SIMULATOR_RATE}, such as 2.")
        rate = SIMULATOR_RATE // self.action_repeat
        self._set_rate(rate, f"with action_repeat={self.action_repeat} the control rate")
        self._describe(task.agent_pos_size, task.action_size, task.cameras)

    def dataset_name(self, task: str) -> str:
        """MetaWorld has a hammer, too."""
        return f"adroit-{task}"

    def as_recorded(self, task: str, pixels: bool) -> Self:
        """At DP3's length, which for pen is twice an evaluation's."""
        recorded = super().as_recorded(task, pixels)
        length = self.episode_length or hand_task(task).demonstration_substeps // self.action_repeat
        return replace(recorded, episode_length=length)
