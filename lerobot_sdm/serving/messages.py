"""Read the pickles that robot clients send as data, without running the programs that pickles can be.

`numpy.ndarray` takes an address as its buffer, and the states of pickled arrays and dtypes can lead outside their
memory. So NumPy restores nothing by itself: arrays are built here, from their bytes and a plain dtype.
"""

import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from lerobot.async_inference.helpers import RemotePolicyConfig, TimedObservation
from lerobot.configs.types import FeatureType, PolicyFeature
from numpy.typing import NDArray

from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.unpickling import Allowed, Global, Record, inert, load

SENT = "LeRobot's robot client sends numbers, text, NumPy arrays and its own types of messages, and nothing else."
PLAIN = re.compile(r"[biufcSU]\d{1,9}")
"""Codes of dtypes whose bytes hold the values: no objects, no fields."""


def _dtype(code: str, order: str) -> np.dtype:
    if not PLAIN.fullmatch(code):
        raise ValueError(f"arrays of dtype {code!r}")
    return np.dtype(code).newbyteorder(order)


def _array(data: bytes | bytearray, dtype: np.dtype, shape: tuple[int, ...], order: str) -> NDArray:
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, np.dtype):
        raise TypeError("an array without bytes or dtype")
    array: NDArray = np.ndarray(shape, dtype, bytearray(data), order="F" if order == "F" else "C")
    if array.nbytes != len(data):
        raise ValueError(f"an array of {array.nbytes} bytes with {len(data)}")
    return array


def _message(kind: type) -> Callable[[tuple, Any], Any]:
    return lambda args, state: kind(**state)


def _refuse_call(*_: Any) -> None:
    raise InputError("message: asks for a call of numpy.ndarray. It is refused, and nothing in it was run.")


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes as {encoding!r}")
    return text.encode("latin1")


MESSAGES = (RemotePolicyConfig, TimedObservation, PolicyFeature)
NUMPY = ("numpy._core", "numpy.core")
"""Where NumPy 2 and NumPy 1 have what their pickles name."""

MAKERS: dict[str, Callable[[tuple, Any], Any]] = {
    "numpy.dtype": lambda args, state: _dtype(args[0], state[1]),
    "numpy.ndarray": lambda args, state: _array(state[4], state[2], state[1], "F" if state[3] else "C"),
    **{f"{name}.multiarray.scalar": lambda args, state: _array(args[1], args[0], (), "C")[()] for name in NUMPY},
    **{f"{name}.numeric._frombuffer": lambda args, state: _array(*args) for name in NUMPY},
    **{f"{kind.__module__}.{kind.__name__}": _message(kind) for kind in MESSAGES},
    f"{FeatureType.__module__}.{FeatureType.__name__}": lambda args, state: FeatureType(*args),
}
"""Name of what LeRobot's robot client sends -> how it is made from the arguments and the state in the pickle."""

ALLOWED: Allowed = {
    **inert(*MAKERS),
    ("numpy", "ndarray"): _refuse_call,  # Only an argument of the next one.
    **{(f"{name}.multiarray", "_reconstruct"): lambda *_: Record("numpy.ndarray") for name in NUMPY},
    ("_codecs", "encode"): _encode,  # Bytes, in the protocols up to 2.
}


def loads(data: bytes) -> Any:
    """Read a message, as `pickle.loads` does, but refuse what a robot client does not send.

    Raises:
        InputError: The message contains anything else than LeRobot's messages, numbers, text and NumPy arrays.
    """
    try:
        return _made(load(data, ALLOWED, source="message"), {})
    except InputError as error:
        raise InputError(f"{error} {SENT}") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(f"message: contains {error}. It is refused, and nothing in it was run. {SENT}") from error


def _made(value: Any, known: dict[int, Any]) -> Any:
    """A value with everything in it made; `known` holds what is made already, because parts may be shared."""
    if isinstance(value, Global):
        raise TypeError(f"{value.module}.{value.name} itself")
    if not isinstance(value, Record | dict | list | tuple | set | frozenset):
        return value
    if id(value) not in known:
        if isinstance(value, Record):
            made = MAKERS[value.name](_made(value.args, known), _made(value.state, known))
        elif isinstance(value, dict):
            made = {_made(key, known): _made(item, known) for key, item in value.items()}
        else:
            made = type(value)(_made(item, known) for item in value)
        known[id(value)] = made
    return known[id(value)]


dumps = pickle.dumps
"""Write an answer; this module stands in for `pickle` in LeRobot's server."""
