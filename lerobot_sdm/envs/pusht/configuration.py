"""Configuration of Push-T with a dense reward."""

from dataclasses import dataclass

from lerobot.envs.configs import EnvConfig, PushtEnv

from lerobot_sdm.envs import DENSE_PUSHT_ID
from lerobot_sdm.registration import registered


@registered(EnvConfig, "pusht_dense")
@dataclass
class DensePushTEnvConfig(PushtEnv):
    """LeRobot's `pusht`, rewarded by the block's closeness to its target; see `envs.pusht.dense`.

    Fields are those of LeRobot's `pusht`.
    """

    @property
    def gym_id(self) -> str:
        return DENSE_PUSHT_ID
