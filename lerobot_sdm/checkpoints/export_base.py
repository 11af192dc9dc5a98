"""A fine-tuned policy as a plain policy of its base's type, which needs this package no more than the base did."""

import json
import shutil
from pathlib import Path

import draccus
from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError, refuse_existing
from lerobot_sdm.plugin import register_all
from lerobot_sdm.policies.source.files import CONFIG_FILE, PROCESSOR_FILES, WEIGHTS_FILE

FINE_TUNED = ("adjoint_matching",)
"""Types whose weights are those of their base's type."""


def export_base(checkpoint: Path, output: Path) -> Path:
    """Write a fine-tuned policy in the form of its base: for LeRobot's commands, and as a teacher of students.

    Weights and processors are the same files; only the configuration is the base's.

    Args:
        checkpoint: A `pretrained_model` folder of one of the types in `FINE_TUNED`.
        output: Folder to create; it appears whole or not at all.

    Returns:
        The folder.

    Raises:
        InputError: No such policy, or the folder exists.
    """
    refuse_existing("--output", output)
    for name in (CONFIG_FILE, WEIGHTS_FILE, *PROCESSOR_FILES):
        if not (checkpoint / name).is_file():
            raise InputError(
                f"{checkpoint}: holds no {name}. Give a checkpoint's `pretrained_model` folder, such as "
                "RUN/checkpoints/last/pretrained_model."
            )
    register_all()
    config = PreTrainedConfig.from_pretrained(checkpoint)
    if config.type not in FINE_TUNED:
        raise InputError(
            f"{checkpoint}: is of type '{config.type}', which has no base whose form it could take "
            f"({', '.join(FINE_TUNED)})."
        )
    base = config.network_config
    base.n_action_steps = config.n_action_steps
    if config.num_inference_steps is not None:
        base.num_inference_steps = config.num_inference_steps
    if hasattr(base, "pretrained_backbone_weights"):
        base.pretrained_backbone_weights = None  # All weights are in the file: there is nothing to download.
    unfinished = output.with_name(f".{output.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    (unfinished / CONFIG_FILE).write_text(json.dumps(draccus.encode(base, PreTrainedConfig), indent=4) + "\n")
    for file in (checkpoint / WEIGHTS_FILE, *checkpoint.glob("policy_*")):
        shutil.copy2(file, unfinished)
    unfinished.rename(output)
    return output
