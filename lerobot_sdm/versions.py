"""Versions of what a result was made with."""

import importlib.metadata
import platform
from collections.abc import Iterable


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of installed packages, by their distributions' names."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
