"""How a class of this package gets its name in one of LeRobot's registries, and how name collisions are settled."""

import logging
from collections.abc import Callable

import draccus

logger = logging.getLogger(__name__)


def registered[T: type](registry: type[draccus.ChoiceRegistry], name: str) -> Callable[[T], T]:
    """Decorate a dataclass that is `name` in `registry`; see `register_choice`."""

    def register(config_class: T) -> T:
        register_choice(registry, name, config_class)
        return config_class

    return register


def register_choice(registry: type[draccus.ChoiceRegistry], name: str, config_class: type) -> None:
    """Register `config_class` under `name`; a foreign class that already holds the name moves aside.

    A later LeRobot may bring a type of the same name. Raising would make the plugin's import fail, which
    LeRobot only logs, and every checkpoint of ours would stop loading. So ours keeps the name, and the other
    class stays reachable as `lerobot_<name>`.

    Args:
        registry: The draccus registry, such as `PreTrainedConfig`, `OptimizerConfig` or `EnvConfig`.
        name: The type name as it stands on the command line.
        config_class: Our dataclass.
    """
    choices = registry.get_known_choices()
    present = choices.get(name)
    if present is not None and present is not config_class:
        alias = f"lerobot_{name}"
        choices[alias] = choices.pop(name)
        logger.warning(
            "%s type '%s' was already registered by %s. It now stands for lerobot_sdm's own %s; "
            "the other one is reachable as '%s'.",
            registry.__name__,
            name,
            present.__module__,
            config_class.__name__,
            alias,
        )
    registry.register_subclass(name, config_class)
