"""3D visuomotor policies, one-step distillation and point-cloud environments for LeRobot.

Importing this package registers its Gymnasium ids and nothing else, in a fraction of a second: neither torch nor
LeRobot nor a simulator is imported. What LeRobot must know is in `lerobot_sdm.plugin`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot_sdm.envs import register_gym_ids

if TYPE_CHECKING:
    from lerobot_sdm.measure.contenders import LoadedPolicy

__version__ = "0.1.0"


def load_policy(path: str | Path, device: str = "cpu", **fields: Any) -> "LoadedPolicy":
    """Load a policy with its processors, ready to `act`; torch and LeRobot are imported now.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a repository on the Hub.
        device: Torch device.
        fields: Fields of its configuration that differ, such as `num_inference_steps=1`.

    Raises:
        InputError: There is no policy, or no such field.
    """
    from lerobot_sdm.measure.contenders import load_contender
    from lerobot_sdm.measure.policy_spec import Contender
    from lerobot_sdm.measure.settings import flag_text

    overrides = {name: flag_text(value) for name, value in fields.items()}
    return load_contender(Contender(str(path), str(path), overrides), device)


register_gym_ids()
