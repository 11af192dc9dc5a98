"""What LeRobot's plugin discovery imports: the module named like the distribution."""

import lerobot_sdm  # noqa: F401
