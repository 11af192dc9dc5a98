"""Policy types, one folder each, with a configuration, a modeling and a processor module."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lerobot_sdm.policy_types import POLICIES, configuration_modules

if TYPE_CHECKING:
    from lerobot.configs.policies import PreTrainedConfig


def register() -> None:
    """Register the policy types with LeRobot, and make it accept configurations saved by earlier versions."""
    from lerobot_sdm.policies import old_settings

    for name in configuration_modules():
        import_module(name)
    old_settings.register()


def config_classes() -> dict[str, type[PreTrainedConfig]]:
    """All policy types of this package: type name -> config class. Tests iterate over this."""
    from lerobot.configs.policies import PreTrainedConfig

    register()
    return {name: PreTrainedConfig.get_choice_class(name) for name in POLICIES}
