"""3D visuomotor policies, one-step distillation and point-cloud environments for LeRobot.

Importing this package registers policy types, optimizers, environment types and Gymnasium ids, and nothing
else: networks and simulators are imported by the modules that use them.
"""

from lerobot_sdm.registration import register_all

__version__ = "0.1.0"

register_all()
