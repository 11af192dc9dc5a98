"""Read a configuration class's docstring and fields from its source, since importing LeRobot's base classes is slow."""

import ast
import functools
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Outline:
    """A dataclass without its base classes.

    Attributes:
        documentation: Its docstring up to the `Raises` section.
        fields: Name -> type and default of each field. The type is `Any` unless it is a Python built-in; the default is
            None unless it is a plain value.
    """

    documentation: str
    fields: dict[str, tuple[Any, Any]]


@functools.cache
def outline(target: str) -> Outline:
    """Read a class's source without importing its module.

    Args:
        target: The class, as "module:Class".
    """
    module, _, name = target.partition(":")
    source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
    found = next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)
    documentation = inspect.cleandoc(ast.get_docstring(found) or "").partition("Raises:")[0].strip()
    fields = {
        node.target.id: (_type(node.annotation), _default(node.value))
        for node in found.body
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar")
    }
    return Outline(documentation, fields)


def _type(annotation: ast.expr) -> Any:
    try:
        return eval(ast.unparse(annotation), {"Path": Path})
    except NameError:
        return Any


def _default(value: ast.expr | None) -> Any:
    try:
        return None if value is None else ast.literal_eval(value)
    except ValueError:
        return None
