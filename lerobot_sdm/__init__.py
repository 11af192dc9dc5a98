"""3D visuomotor policies, one-step distillation and point-cloud environments for LeRobot.

Importing this package registers its Gymnasium ids and nothing else, in a fraction of a second: neither torch nor
LeRobot nor a simulator is imported. What LeRobot must know is in `lerobot_sdm.plugin`.
"""

from lerobot_sdm.envs import register_gym_ids

__version__ = "0.1.0"

register_gym_ids()
