"""placeholder"""

from typing import Any


def patch(owner: Any, name: str, value: Any) -> Any:
    original = getattr(owner, name)
    setattr(owner, name, value)
    return original
