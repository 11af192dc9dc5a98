"""Reads untrusted pickles as data.

A pickle is a program for a small stack machine, and Python's own machine can call anything that can be imported. This
machine knows only the names on its caller's allow-list and calls only the replacements given there; it refuses
everything else by name. Objects become inert `Record`s that describe how they would have been built, for the importer
to interpret. Nothing is imported, no attribute is looked up or set, and no `__reduce__`, `__setstate__`, or `__init__`
of any class runs, whatever the file contains.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from lerobot_sdm.errors import InputError

MAX_BYTES = 256 * 2**20
"""Larger pickles are refused, because memory grows with the length of a pickle. No known file comes close: tensors are
stored next to the pickle, not in it."""

LARGEST_BITS = 256
"""Larger integers are refused: converted to a float or to text, they raise. No known file has more than 128 bits."""


class RefusedPickleError(InputError):
    """The pickle uses something that is not on the allow-list."""


@dataclass(eq=False, slots=True)
class Record:
    """An object as described by its pickle; the fields are those of the `__reduce__` tuple in the pickle protocol.

    Args:
        name: `module.name` of the class or function that would have built it.
        args: Positional arguments of that call.
        kwargs: Keyword arguments of that call.
        state: Argument of its `__setstate__`, None if there is none.
        items: Elements to append to it.
        entries: Entries to set by `object[key] = value`.
    """

    name: str
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    items: list = field(default_factory=list)
    entries: dict = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Global:
    """A name in a pickle, as inert as a string until the pickle calls it; `make` is the importer's replacement."""

    module: str
    name: str
    make: Callable[..., Any] = field(compare=False)


Allowed = Mapping[tuple[str, str], Callable[..., Any]]
"""(module, name) -> replacement to call. The replacement gets untrusted arguments: it must check them, and must return
plain data or a `Record`."""


def inert(*names: str) -> dict[tuple[str, str], Callable[..., Record]]:
    """Allow dotted names, such as `omegaconf.nodes.AnyNode`, without running anything: calling one makes a `Record`."""
    return {(name.rpartition(".")[0], name.rpartition(".")[2]): partial(_record, name) for name in names}


def _record(name: str, *args: Any, **kwargs: Any) -> Record:
    return Record(name, args, kwargs)


def load(data: bytes, allowed: Allowed, *, source: str, persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """Read a pickle with this module's stack machine.

    Args:
        data: The pickle, of any protocol.
        allowed: The names it may use.
        source: Its name in error messages; usually a file name.
        persistent_load: Resolves persistent ids, which torch uses for its storages; None to refuse them.

    Returns:
        Lists, dicts, sets, tuples, strings, bytes, numbers, `Record`s, `Global`s, and results of `allowed`.

    Raises:
        RefusedPickleError: It uses a name or instruction that is not allowed.
        InputError: It is truncated, malformed, or too long.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{source}: its pickle has {len(data)} bytes, but at most {MAX_BYTES} are allowed.")
    machine = _Machine(allowed, source, persistent_load)
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
            machine.run(opcode.name, argument)
        return machine.stack.pop()
    except InputError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{source}: not a complete, valid pickle ({error}). Download or copy the file again."
        ) from error


class _Machine:
    """The stack machine: `run` executes one instruction."""

    def __init__(self, allowed: Allowed, source: str, persistent_load: Callable[[Any], Any] | None):
        self.allowed, self.source, self.persistent_load = allowed, source, persistent_load
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # Stacks below the open marks.
        self.memo: dict[int, Any] = {}

    def run(self, opcode: str, argument: Any) -> None:
        """Execute one instruction, named and decoded by `pickletools`."""
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "NONE":
                self.stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                self.stack.append(opcode == "NEWTRUE")
            case name if name in _LITERALS:
                if isinstance(argument, int) and argument.bit_length() > LARGEST_BITS:
                    raise self._refusal(f"an integer of {argument.bit_length()} bits")
                self.stack.append(argument)
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_SET":
                self.stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}[opcode]())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(self._pop(int(opcode[-1])))
            case "MARK":
                self.outer.append(self.stack)
                self.stack = []
            case "POP_MARK":
                self._pop_mark()
            case "POP":
                self.stack.pop() if self.stack else self._pop_mark()
            case "DUP":
                self.stack.append(self.stack[-1])
            case "TUPLE":
                items = self._pop_mark()
                self.stack.append(tuple(items))
            case "LIST":
                items = self._pop_mark()
                self.stack.append(items)
            case "DICT":
                items = self._pop_mark()
                self.stack.append(_pairs(items))
            case "FROZENSET":
                items = self._pop_mark()
                self.stack.append(frozenset(map(_checked_key, items)))
            case "APPEND":
                self._extend(self._pop(1))
            case "APPENDS":
                self._extend(self._pop_mark())
            case "ADDITEMS":
                items = self._pop_mark()
                self._top(set).update(map(_checked_key, items))
            case "SETITEM":
                self._set(self._pop(2))
            case "SETITEMS":
                self._set(self._pop_mark())
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "GLOBAL":
                self.stack.append(self._find(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                self.stack.append(self._find(*self._pop(2)))
            case "INST":
                self._call(self._find(*argument.split(" ", 1)), self._pop_mark())
            case "OBJ":
                function, *args = self._pop_mark()
                self._call(function, args)
            case "REDUCE" | "NEWOBJ":
                self._call(*self._pop(2))
            case "NEWOBJ_EX":
                function, args, kwargs = self._pop(3)
                self._call(function, args, kwargs)
            case "BUILD":
                (state,) = self._pop(1)
                self._top(Record).state = state
            case "PERSID" | "BINPERSID":
                identity = argument if opcode == "PERSID" else self.stack.pop()
                if self.persistent_load is None:
                    raise self._refusal(f"the persistent id {shown(identity)}")
                self.stack.append(self.persistent_load(identity))
            case _:
                raise self._refusal(f"the instruction {opcode} {shown(argument)}")

    def _find(self, module: Any, name: Any) -> Global:
        make = self.allowed.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if make is None:
            raise self._refusal(shown(f"{module}.{name}"))
        return Global(module, name, make)

    def _call(self, function: Any, args: Iterable[Any], kwargs: dict[str, Any] | None = None) -> None:
        if not isinstance(function, Global):
            raise self._refusal(f"a call of {_described(function)}")
        self.stack.append(function.make(*args, **(kwargs or {})))

    def _extend(self, new: Iterable[Any]) -> None:
        target = self._top(list, Record)
        (target.items if isinstance(target, Record) else target).extend(new)

    def _set(self, flat: Iterable[Any]) -> None:
        target = self._top(dict, Record)
        (target.entries if isinstance(target, Record) else target).update(_pairs(flat))

    def _top(self, *types: type) -> Any:
        """The object to change in place. A `Global` or a result of the importer is never changed."""
        if type(self.stack[-1]) not in types:
            raise self._refusal(f"a change of {_described(self.stack[-1])}")
        return self.stack[-1]

    def _pop(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise IndexError("stack underflow")
        popped = tuple(self.stack[-count:])
        del self.stack[-count:]
        return popped

    def _pop_mark(self) -> list[Any]:
        popped, self.stack = self.stack, self.outer.pop()
        return popped

    def _refusal(self, asked: str) -> RefusedPickleError:
        return RefusedPickleError(
            f"{self.source}: asks for {asked}, which no such file needs. It is refused, and nothing in it was run."
        )


_INTEGERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"}
_FLOATS = {"FLOAT", "BINFLOAT"}
_STRINGS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_LITERALS = _INTEGERS | _FLOATS | _STRINGS | _BYTES


def _pairs(flat: Iterable[Any]) -> dict:
    values = iter(flat)
    return {_checked_key(key): value for key, value in zip(values, values, strict=True)}


def _checked_key(key: Any) -> Any:
    """Refuse nested keys: hashing a tuple nested a million deep overflows the interpreter's stack."""
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, tuple | frozenset) for part in parts):
        raise TypeError("nested key")
    return key


def _described(value: Any) -> str:
    if isinstance(value, Record):
        return f"what {shown(value.name)} made"
    return shown(f"{value.module}.{value.name}") if isinstance(value, Global) else f"a {type(value).__name__}"


def shown(value: Any) -> str:
    """A short, printable form of an untrusted value, without descending into containers."""
    text = repr(value) if isinstance(value, str | bytes | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:117]}..."
