"""Exports a fine-tuned policy as a plain policy of its base's type."""

import json
import shutil
from pathlib import Path

import draccus
from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.files import new_folder
from lerobot_sdm.plugin import register_all
from lerobot_sdm.policies.source.files import CONFIG_FILE, PROCESSOR_FILES, WEIGHTS_FILE
from lerobot_sdm.safe_files.configurations import read_configuration

FINE_TUNED = ("adjoint_matching",)
"""Types whose weights have the format of their base's type."""


def export_base(checkpoint: Path, output: Path) -> Path:
    """Export a fine-tuned policy as a policy of its base's type, for LeRobot's commands or as a teacher.

    Weights and processors are copied; only the configuration is replaced by the base's.

    Args:
        checkpoint: A `pretrained_model` folder of one of the types in `FINE_TUNED`.
        output: Folder to create; it appears only when it is complete.

    Raises:
        InputError: There is no such policy, or the output folder exists.
    """
    refuse_existing("--output", output)
    for name in (CONFIG_FILE, WEIGHTS_FILE, *PROCESSOR_FILES):
        if not (checkpoint / name).is_file():
            raise InputError(
                f"{checkpoint}: has no {name}. Give a checkpoint's `pretrained_model` folder, such as "
                "RUN/checkpoints/last/pretrained_model."
            )
    register_all()
    config = read_configuration(PreTrainedConfig, checkpoint, str(checkpoint))
    if config.type not in FINE_TUNED:
        raise InputError(
            f"{checkpoint}: is of type '{config.type}', which cannot be exported as its base. Give a policy of type "
            f"{', '.join(FINE_TUNED)}."
        )
    base = config.network_config
    base.n_action_steps = config.n_action_steps
    if config.num_inference_steps is not None:
        base.num_inference_steps = config.num_inference_steps
    if hasattr(base, "pretrained_backbone_weights"):
        base.pretrained_backbone_weights = None  # All weights are in the file, so do not download any.
    with new_folder(output) as unfinished:
        (unfinished / CONFIG_FILE).write_text(json.dumps(draccus.encode(base, PreTrainedConfig), indent=4) + "\n")
        for file in (checkpoint / WEIGHTS_FILE, *checkpoint.glob("policy_*")):
            shutil.copy2(file, unfinished)
    return output
