"""A policy's configuration inside that of a policy made from it: plain values, so that the latter stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import draccus
from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import unknown_name
from lerobot_sdm.policies import register

LEFT_OUT = {
    *("device", "use_amp", "use_peft", "push_to_hub", "repo_id", "private", "tags", "license"),
    "pretrained_backbone_weights",
    *("inference_precision", "compile_model", "compile_mode", "drop_invalid_points"),
}
"""Fields that say where and how the teacher ran, not what it is."""
LEFT_OUT_PREFIXES = ("optimizer_", "scheduler_")
LEFT_OUT_SUFFIXES = ("_path", "_revision")
"""Where the policies lay that this one was made from."""


def describe(config: PreTrainedConfig) -> dict[str, Any]:
    """What a configuration says about the network and its sampler, as plain values with the policy's `type`."""
    encoded = draccus.encode(config, PreTrainedConfig)
    return {
        key: value
        for key, value in encoded.items()
        if key not in LEFT_OUT and not key.startswith(LEFT_OUT_PREFIXES) and not key.endswith(LEFT_OUT_SUFFIXES)
    }


def configuration(description: Mapping[str, Any], device: str) -> PreTrainedConfig:
    """The configuration that `describe` was given, for another device.

    Raises:
        InputError: It does not say of what type of policy it is.
    """
    import lerobot.policies  # noqa: F401  (registers LeRobot's own types)

    register()
    kind, known = description.get("type"), PreTrainedConfig.get_known_choices()
    if kind not in known:
        raise unknown_name("type, in a configuration's `network` or `base`", str(kind), known)
    return draccus.decode(PreTrainedConfig, {**description, "device": device})
