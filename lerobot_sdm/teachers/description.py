"""A teacher's configuration inside its student's: plain values, so that the student stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import draccus
from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.teachers.adapters import adapter_for

LEFT_OUT = {
    *("device", "use_amp", "use_peft", "push_to_hub", "repo_id", "private", "tags", "license"),
    *("pretrained_path", "pretrained_revision", "pretrained_backbone_weights"),
    *("inference_precision", "compile_model", "compile_mode"),
}
"""Fields that say where and how the teacher ran, not what it is."""
LEFT_OUT_PREFIXES = ("optimizer_", "scheduler_")


def describe(config: PreTrainedConfig) -> dict[str, Any]:
    """What a configuration says about the network and its sampler, as plain values with the policy's `type`."""
    encoded = draccus.encode(config, PreTrainedConfig)
    return {
        key: value for key, value in encoded.items() if key not in LEFT_OUT and not key.startswith(LEFT_OUT_PREFIXES)
    }


def configuration(description: Mapping[str, Any], device: str) -> PreTrainedConfig:
    """The configuration that `describe` was given, for another device."""
    adapter_for(description["type"])  # Imports the module that registers the type.
    return draccus.decode(PreTrainedConfig, {**description, "device": device})
