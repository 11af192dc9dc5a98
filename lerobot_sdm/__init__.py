"""3D visuomotor policies, one-step distillation and point-cloud environments for LeRobot.

Importing this package only registers its Gymnasium ids. That takes a fraction of a second, because it imports neither
torch nor LeRobot nor a simulator. `lerobot_sdm.plugin` registers the rest with LeRobot.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot_sdm.envs import register_gym_ids

if TYPE_CHECKING:
    from lerobot_sdm.policies.loaded_policy import LoadedPolicy

__version__ = "0.1.0"


def load_policy(path: str | Path, device: str = "cpu", **fields: Any) -> "LoadedPolicy":
    """Load a policy with its processors, ready to `act`. Imports torch and LeRobot.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a Hub repo id.
        device: Torch device.
        fields: Configuration fields to override, such as `num_inference_steps=1`.

    Raises:
        InputError: `path` holds no policy, or a field does not exist.
    """
    from lerobot_sdm.plugin import register_all
    from lerobot_sdm.policies.loaded_policy import load_from_spec
    from lerobot_sdm.policies.policy_spec import PolicySpec
    from lerobot_sdm.specs import flag_text

    register_all()
    overrides = {name: flag_text(value) for name, value in fields.items()}
    return load_from_spec(PolicySpec(str(path), str(path), overrides), device)


register_gym_ids()
