"""`--robot.type=simulated`: an environment of this package in place of a robot.

LeRobot finds `SimulatedRobot` by these names: `config_simulated` is for `simulated`, and `...Config` for the class.
"""

from dataclasses import dataclass

from lerobot.robots.config import RobotConfig

from lerobot_sdm.errors import InputError, check_at_least
from lerobot_sdm.registration import registered


@registered(RobotConfig, "simulated")
@dataclass(kw_only=True)
class SimulatedRobotConfig(RobotConfig):
    """A task of one of this package's environments, seen as a robot.

    Args:
        env: The environment, `TYPE[,FIELD=VALUE...]`, as for `lerobot-sdm compare`. It must name a single task.
        seed: Seed of the first episode's start state; each further episode takes the next one.
        num_episodes: End the command, as Ctrl-C does, after this many episodes; 0 to continue until it ends by itself.

    Raises:
        InputError: The environment cannot be simulated, or a number is negative.
    """

    env: str = "metaworld_pc,task=detour"
    seed: int = 100_000
    num_episodes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seed", "num_episodes"):
            check_at_least(f"--robot.{name}", getattr(self, name), 0)

        # Needs the registered environments, among which the plugin is still registering this module.
        from lerobot_sdm.envs.configuration import PointCloudEnvConfig
        from lerobot_sdm.envs.families import FAMILIES
        from lerobot_sdm.envs.spec import env_config

        config = env_config(self.env, "--robot.env")
        if not isinstance(config, PointCloudEnvConfig):
            raise InputError(f"--robot.env={self.env}: has no point clouds. Give one of {', '.join(FAMILIES)}.")
        config.single_task(f"--robot.env={self.env}")
        # LeRobot's commands may record what the robot observes.
        config.require_all_clouds("--robot.env=...,n_action_steps")
        self.env_config = config
