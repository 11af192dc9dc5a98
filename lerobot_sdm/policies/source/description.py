"""Embed a source policy's configuration, as plain values, in that of a policy trained from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import draccus
from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import check_known
from lerobot_sdm.policies import register

LEFT_OUT = {
    *("device", "use_amp", "use_peft", "push_to_hub", "repo_id", "private", "tags", "license"),
    "pretrained_backbone_weights",
    *("inference_precision", "compile_model", "compile_mode", "drop_invalid_points", "action_feature_names"),
}
"""Fields that describe where and how the teacher ran, not what it is."""
LEFT_OUT_PREFIXES = ("optimizer_", "scheduler_")
LEFT_OUT_SUFFIXES = ("_path", "_revision")
"""Fields with the paths of the policies that this one was trained from."""


def describe(config: PreTrainedConfig) -> dict[str, Any]:
    """Convert the fields that describe the network and its sampler to plain values, with the policy's `type`."""
    encoded = draccus.encode(config, PreTrainedConfig)
    return {
        key: value
        for key, value in encoded.items()
        if key not in LEFT_OUT and not key.startswith(LEFT_OUT_PREFIXES) and not key.endswith(LEFT_OUT_SUFFIXES)
    }


def configuration(description: Mapping[str, Any], device: str) -> PreTrainedConfig:
    """Rebuild the configuration passed to `describe`, for a given device.

    Raises:
        InputError: The policy type is missing or unknown.
    """
    import lerobot.policies  # noqa: F401  (registers LeRobot's own types)

    register()
    kind, known = description.get("type"), PreTrainedConfig.get_known_choices()
    check_known("type, in a configuration's `network` or `base`", kind, known)
    return draccus.decode(PreTrainedConfig, {**description, "device": device})
