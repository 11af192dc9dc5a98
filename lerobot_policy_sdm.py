"""What LeRobot's plugin discovery imports: the module named like the distribution."""

from lerobot_sdm.plugin import register_all

register_all()
