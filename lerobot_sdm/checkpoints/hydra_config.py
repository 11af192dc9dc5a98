"""Reads values of a pickled OmegaConf (Hydra) configuration, without OmegaConf and without running any code.

Such a configuration is a tree of nodes. A value may refer to another one (`${task.name}`), combine others
(`${task_name}-${seed}`), or be an expression for a resolver (`${eval:'...'}`). References are followed; expressions are
never evaluated.
"""

from __future__ import annotations

import re
from typing import Any

from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.unpickling import Record, inert, shown

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
"""Names used by a pickled configuration: node types, and types that describe its values."""

REFERENCE = re.compile(r"\$\{([\w.]+)\}")
MAX_REFERENCES = 20
MAX_LOOKUPS = 1000
"""Limit of references per value, so that strings that double each other cannot exhaust time and memory."""
MAX_TEXT = 10_000
MAX_NUMBER = 1_000_000
"""Limit of integers, far above any real configuration; a network with more channels would not fit into memory."""

MISSING: Any = object()


class HydraConfig:
    """Looks up values by their dotted path.

    Args:
        root: The configuration, as returned by `unpickling.load`, or plain dicts and lists.
        source: Name of the file in error messages.
    """

    def __init__(self, root: Any, source: str):
        self.root, self.source = root, source
        self._lookups = 0

    def get(self, path: str, kind: type, default: Any = MISSING) -> Any:
        """One value.

        Args:
            path: Such as `policy.noise_scheduler.beta_schedule`.
            kind: bool, int, float (which includes integers), str, list, or dict; object for any.
            default: Value for a path that does not exist.

        Returns:
            The value. Elements of a list are values; those of a dict are nodes, to be looked up by their own path.

        Raises:
            InputError: Missing without a default, a broken reference, an expression, or of another type.
        """
        self._lookups = 0
        value = self._follow(path, 0)
        if value is MISSING:
            if default is MISSING:
                raise InputError(f"{self.source}: its configuration has no '{path}', so it is not a file of this kind.")
            return default
        kinds = (int, float) if kind is float else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind not in (bool, object)):
            raise InputError(f"{self.source}: '{path}' is {shown(value)}, must be of type {kind.__name__}.")
        if kind is int and abs(value) > MAX_NUMBER:
            raise InputError(f"{self.source}: '{path}' is {shown(value)}, which is far too large.")
        return [self._dereference(_content(item), 0) for item in value] if kind is list else value

    def label(self, path: str) -> str:
        """A descriptive string; "unknown" instead of an error if it cannot be read."""
        try:
            return self.get(path, str, "unknown")
        except InputError:
            return "unknown"

    def _follow(self, path: str, depth: int) -> Any:
        value = _content(self.root)
        for name in path.split("."):
            value = self._dereference(value, depth)
            if not isinstance(value, dict) or name not in value:
                return MISSING
            value = _content(value[name])
        return self._dereference(value, depth)

    def _dereference(self, value: Any, depth: int) -> Any:
        """The value itself, the target of its reference, or the string with its references filled in."""
        if not (isinstance(value, str) and "${" in value):
            return value
        if depth >= MAX_REFERENCES or "${" in REFERENCE.sub("", value):
            raise self._computed(value)
        whole = REFERENCE.fullmatch(value)
        if whole is not None:
            return self._target(whole, depth)
        text = REFERENCE.sub(lambda reference: self._piece(reference, depth), value)
        if len(text) > MAX_TEXT:
            raise self._computed(value)
        return text

    def _target(self, reference: re.Match[str], depth: int) -> Any:
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise self._computed(reference[0])
        target = self._follow(reference[1], depth + 1)
        if target is MISSING:
            # A default would be a guess at the value used in training.
            raise InputError(
                f"{self.source}: its configuration refers to {shown(reference[0])}, which it does not contain."
            )
        return target

    def _piece(self, reference: re.Match[str], depth: int) -> str:
        """The value of a reference inside a string, formatted like OmegaConf does."""
        target = self._target(reference, depth)
        if not isinstance(target, str | int | float):
            raise self._computed(reference.string)
        return str(target)

    def _computed(self, value: str) -> InputError:
        return InputError(
            f"{self.source}: its configuration contains {shown(value)}, which would have to be evaluated. Only plain "
            "references are supported."
        )


def _content(node: Any) -> Any:
    """The content of a node: OmegaConf keeps values in `_val` and containers in `_content`."""
    if not isinstance(node, Record):
        return node
    state = node.state if isinstance(node.state, dict) else {}
    return state.get("_val", state.get("_content"))
