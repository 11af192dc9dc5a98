"""Single values of a Hydra configuration as OmegaConf pickles it, without OmegaConf and without running anything.

Such a configuration is a tree of nodes. A value may point to another one (`${task.name}`), or be an expression that
only a resolver could compute (`${eval:'...'}`); the former is followed, the latter is never computed.
"""

from __future__ import annotations

import re
from typing import Any

from lerobot_sdm.checkpoints.unpickling import Record, inert
from lerobot_sdm.errors import InputError

OMEGACONF_NAMES = inert(
    *(f"omegaconf.base.{name}" for name in ("ContainerMetadata", "Metadata")),
    *("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"),
    *(
        f"omegaconf.nodes.{name}Node"
        for name in ("Any", "Boolean", "Bytes", "Float", "Integer", "Path", "String", "InterpolationResult")
    ),
    *(f"typing.{name}" for name in ("Any", "Dict", "List", "Optional", "Tuple", "Union")),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("bool", "dict", "float", "int")),
    *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("list", "str", "tuple")),
    *("collections.OrderedDict", "collections.defaultdict", "dill._dill._load_type"),
)
"""What a pickled configuration mentions: node types, and types that describe its values."""

REFERENCE = re.compile(r"\$\{([\w.]+)\}")
MAX_REFERENCES = 20
MAX_NUMBER = 1_000_000
"""No whole number of such a configuration comes near; a network of more channels would not fit into memory."""

MISSING: Any = object()


class HydraConfig:
    """Looks up values by their dotted path.

    Args:
        root: The configuration, as `unpickling.load` gives it, or plain dicts and lists.
        source: What error messages call the file.
    """

    def __init__(self, root: Any, source: str):
        self.root, self.source = root, source

    def get(self, path: str, kind: type, default: Any = MISSING) -> Any:
        """One value.

        Args:
            path: Such as `policy.noise_scheduler.beta_schedule`.
            kind: bool, int, float (which takes whole numbers too), str, list or dict.
            default: For a path that does not exist.

        Returns:
            The value; a list's elements are values, a dict's are nodes that have to be looked up on their own.

        Raises:
            InputError: Missing without a default, an expression, or of another kind.
        """
        value = self._follow(path, 0)
        if value is MISSING:
            if default is MISSING:
                raise InputError(f"{self.source}: its configuration has no '{path}', so it is no file of this kind.")
            return default
        kinds = (int, float) if kind is float else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"{self.source}: '{path}' is {_shown(value)} where a {kind.__name__} belongs.")
        if kind is int and abs(value) > MAX_NUMBER:
            raise InputError(f"{self.source}: '{path}' is {_shown(value)}, which cannot be meant.")
        return [self._dereference(_content(item), 0) for item in value] if kind is list else value

    def _follow(self, path: str, depth: int) -> Any:
        value = _content(self.root)
        for name in path.split("."):
            value = self._dereference(value, depth)
            if not isinstance(value, dict) or name not in value:
                return MISSING
            value = _content(value[name])
        return self._dereference(value, depth)

    def _dereference(self, value: Any, depth: int) -> Any:
        """The value itself, or what it points to."""
        if not (isinstance(value, str) and "${" in value):
            return value
        reference = REFERENCE.fullmatch(value)
        if reference is None or depth >= MAX_REFERENCES:
            raise InputError(
                f"{self.source}: its configuration says {_shown(value)}, which would have to be computed; only plain "
                "references are followed."
            )
        return self._follow(reference[1], depth + 1)


def _content(node: Any) -> Any:
    """What a node of the tree holds: OmegaConf keeps values in `_val` and containers in `_content`."""
    if not isinstance(node, Record):
        return node
    state = node.state if isinstance(node.state, dict) else {}
    return state.get("_val", state.get("_content"))


def _shown(value: Any) -> str:
    if isinstance(value, list | dict | Record):
        return f"a {type(value).__name__.lower()}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
