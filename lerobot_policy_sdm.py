"""What LeRobot's plugin discovery imports: the module named like the distribution."""

from lerobot_sdm.plugin import register_all

__path__: list[str] = []
"""For `--discover_packages_path=lerobot_policy_sdm`, which commands of LeRobot without discovery take: they look for
submodules, and there are none."""

register_all()
