"""Recipes: names for the values of several fields of a configuration."""

from collections.abc import Mapping
from typing import Any

from lerobot_sdm.errors import InputError, check_known


def fill_in(config: Any, recipes: Mapping[str, Mapping[str, Any]], example: str) -> None:
    """Give the fields that are None the values of the configuration's recipe, so that a single field overrides it.

    Args:
        config: Has a `recipe`, and `resolved_recipe`, which is saved with the fields; changed in place.
        recipes: Recipe -> field -> value.
        example: An option that changes a single field, for the message.

    Raises:
        InputError: The recipe is unknown, or another one filled in the fields before.
    """
    check_known("--policy.recipe", config.recipe, recipes)
    if config.resolved_recipe not in (None, config.recipe):
        raise InputError(
            f"--policy.recipe={config.recipe}: this policy's settings come from the recipe '{config.resolved_recipe}'. "
            f"To change them for further training, give single fields, such as {example}."
        )
    config.resolved_recipe = config.recipe
    for name, value in recipes[config.recipe].items():
        if getattr(config, name) is None:
            setattr(config, name, value)
