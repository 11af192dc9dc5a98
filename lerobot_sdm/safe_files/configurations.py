"""Reads the configuration of a policy or reward model from a checkpoint that may be damaged or of another version."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import draccus
from draccus.utils import DecodingError
from huggingface_hub.constants import CONFIG_NAME

from lerobot_sdm.errors import InputError, check_known
from lerobot_sdm.safe_files.json_files import read_object, said

ANOTHER_VERSION = (
    "If another version of this package or of LeRobot wrote it, install that one; otherwise copy or download the "
    "checkpoint again."
)


def read_configuration[Configuration: draccus.ChoiceRegistry](
    base: type[Configuration],
    checkpoint: Path | str,
    given: str,
    overrides: Sequence[str] = (),
    fix: str = ANOTHER_VERSION,
) -> Configuration:
    """Read a checkpoint's configuration as LeRobot does.

    Args:
        base: `PreTrainedConfig` or `RewardModelConfig`, all of whose types are registered.
        checkpoint: Folder of a checkpoint, or a Hub repo id.
        given: The user's name for it, for messages.
        overrides: Such as `--device=cpu`, instead of what the checkpoint says.
        fix: Sentence on what to do about an unknown field or an impossible value.

    Raises:
        InputError: It is no JSON object, or its type, one of its fields or a value is not known here.
    """
    file = Path(checkpoint) / CONFIG_NAME
    if file.is_file():
        kind = read_object(file, f"{given}: {CONFIG_NAME}").get("type")
        check_known(f"{given}: {CONFIG_NAME}: type", kind, base.get_known_choices())
    reader: Any = base
    try:
        return reader.from_pretrained(checkpoint, cli_overrides=list(overrides))
    except DecodingError as error:
        raise InputError(f"{given}: {CONFIG_NAME}: {said(error)}. {fix}") from error
