"""Register this package's classes in LeRobot's registries, and resolve name collisions."""

import logging
from collections.abc import Callable

import draccus

logger = logging.getLogger(__name__)


def registered[T: type](registry: type[draccus.ChoiceRegistry], name: str) -> Callable[[T], T]:
    """Class decorator: register a dataclass as `name`; rename another package's class that already has this name.

    A later LeRobot may add a type of the same name. If this raised, the plugin's import would fail, LeRobot would
    only log it, and none of our checkpoints would load. So our class gets the name, and the other one stays available
    as `lerobot_<name>`.

    Args:
        registry: The draccus registry, such as `PreTrainedConfig`, `OptimizerConfig` or `EnvConfig`.
        name: The type name used on the command line.
    """

    def register(config_class: T) -> T:
        choices = registry.get_known_choices()
        present = choices.get(name)
        if present is not None and present is not config_class:
            alias = f"lerobot_{name}"
            choices[alias] = choices.pop(name)
            logger.warning(
                f"{registry.__name__} type '{name}' was already registered by {present.__module__}. It now means "
                f"lerobot_sdm's {config_class.__name__}; the other class is available as '{alias}'."
            )
        registry.register_subclass(name, config_class)
        return config_class

    return register
