"""Settings of a student whose denoising network may be another than its teacher's."""

from dataclasses import dataclass
from typing import Any

from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.nets.backbone_settings import DEFAULT, FIELDS, backbone_of, plain

NAMES = ("backbone", "down_dims", "mixer_width", "mixer_depth")


@dataclass
class OwnNetwork:
    """A student's own network; a mixin for its configuration.

    With any of these fields, the denoiser starts from random weights instead of the teacher's, and needs a longer
    warm-up. Encoder, horizon and noise levels remain the teacher's.

    Args:
        backbone: "unet" or "mixer"; None for the teacher's.
        down_dims: Channels of the student's U-Net at each level; None for the teacher's.
        mixer_width: Channels of the student's mixer; None for the teacher's, or the default if that is a U-Net.
        mixer_depth: Blocks of the student's mixer; the same.
    """

    backbone: str | None = None
    down_dims: list[int] | None = None
    mixer_width: int | None = None
    mixer_depth: int | None = None

    def own_network(self, teacher: PreTrainedConfig) -> dict[str, Any]:
        """The fields in which the network is chosen to differ from a teacher's; none if it is a copy.

        Raises:
            InputError: A student of this teacher cannot have such a network.
        """
        chosen = {name: plain(getattr(self, name)) for name in NAMES if getattr(self, name) is not None}
        check_known("--policy.backbone", chosen.get("backbone", DEFAULT), FIELDS)
        if chosen.get("backbone") == getattr(teacher, "backbone", DEFAULT):
            del chosen["backbone"]
        beyond = [name for name in chosen if not hasattr(teacher, name)]
        if beyond:
            raise InputError(
                f"--policy.{beyond[0]}={chosen[beyond[0]]}: a student of a '{teacher.type}' policy is a U-Net like its "
                "teacher, and only --policy.down_dims may differ. Drop the option, or distill a dp3 policy."
            )
        return chosen

    def check_unchanged(self, network: dict[str, Any]) -> None:
        """Raises: InputError: A trained student's network is not the chosen one; names the field."""
        had = network | {"backbone": backbone_of(network)}
        for name in NAMES:
            value = getattr(self, name)
            if value is not None and plain(value) != plain(had.get(name)):
                raise InputError(
                    f"--policy.{name}={value}: this student's network has {had.get(name)}, which cannot change any "
                    "more. Drop the option, or distill another student."
                )
