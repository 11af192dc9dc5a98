"""Configuration of Push-T with a dense reward."""

from dataclasses import dataclass

from lerobot.envs.configs import PushtEnv

GYM_ID = "lerobot_sdm/PushTDense-v0"


@dataclass
class DensePushTEnvConfig(PushtEnv):
    """LeRobot's `pusht` with the closeness of the block to its target for a reward; see `envs.pusht_dense`.

    Fields are those of LeRobot's `pusht`.
    """

    @property
    def gym_id(self) -> str:
        return GYM_ID
