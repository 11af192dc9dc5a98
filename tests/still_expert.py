"""An expert for tests that need frames and no success."""

from typing import ClassVar

import numpy as np

from lerobot_sdm.experts import Expert


class StillExpert(Expert):
    """Never moves."""

    name: ClassVar[str] = "still"

    def plan(self, env):
        return np.zeros(env.action_space.shape)
