"""What arrives of a robot client's messages, and which ones are refused."""

import contextlib
import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("grpc")

import torch
from lerobot.async_inference.helpers import RemotePolicyConfig, TimedObservation
from lerobot.configs.types import FeatureType, PolicyFeature

from lerobot_sdm.errors import InputError
from lerobot_sdm.serving import messages


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64, bool])
def test_arrays_and_numbers_arrive(protocol, dtype):
    sent = {
        "cloud": np.arange(12).reshape(4, 3).astype(dtype),
        "one": dtype(1),
        "task": "stack",
        "x": 0.5,
        "none": None,
    }
    got = messages.loads(pickle.dumps(sent, protocol))
    np.testing.assert_array_equal(got.pop("cloud"), sent.pop("cloud"))
    assert got == sent


def test_arrays_arrive_in_any_layout():
    sent = {
        "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "every second": np.arange(6)[::2],
        "big-endian": np.arange(3, dtype=">f4"),
        "empty": np.zeros((0, 3)),
        "one": np.array(2.5),
        "words": np.array(["stack", "push"]),
    }
    got = messages.loads(pickle.dumps(sent))
    for key, array in sent.items():
        np.testing.assert_array_equal(got[key], array)
        assert (got[key].dtype, got[key].flags.writeable) == (array.dtype, True), key


def test_lerobots_messages_arrive():
    seen = {"x.pos": 0.5, "top": np.ones((2, 2, 3), np.uint8)}
    got = messages.loads(pickle.dumps(TimedObservation(1.5, 3, seen, must_go=True)))
    assert (got.get_timestamp(), got.get_timestep(), got.must_go) == (1.5, 3, True)
    np.testing.assert_array_equal(got.get_observation()["top"], seen["top"])
    asked = RemotePolicyConfig("sdm", "folder", {"observation.state": PolicyFeature(FeatureType.STATE, (2,))}, 8)
    assert messages.loads(pickle.dumps(asked)) == asked


class Calls:
    """Pickled as a call of a function, and what to do with the result."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None):
        self.told = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.told


def shifted(*state: Any) -> Calls:
    """A number whose dtype gets this state in its pickle, which NumPy would trust."""
    return Calls(np._core.multiarray.scalar, Calls(np.dtype, "V8", False, True, state=(3, "|", *state)), bytes(8))


BAD_MESSAGES = {
    "a function": eval,
    "a tensor": torch.zeros(2),
    "an exception": InputError("x"),
    "an array of objects": np.array([eval], dtype=object),
    "a dtype with a field of objects": np.dtype([("a", object)]),
    "an array at an address": Calls(np.ndarray, (), "O", b"AAAAAAAA"),
    "a field outside": shifted(None, ("a",), {"a": (np.dtype("f8"), 2**30)}, 8, 1, 0),
    "a larger array than its bytes": Calls(np._core.numeric._frombuffer, b"1", np.dtype("f8"), (4,), "C"),
    "bytes by the number": Calls(np._core.numeric._frombuffer, 2**40, np.dtype("u1"), (4,), "C"),
    "a type": np.ndarray,
}


@pytest.mark.parametrize("value", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_other_messages_are_refused(value):
    for message in (value, TimedObservation(0.0, 0, {"x.pos": value})):
        with pytest.raises(InputError, match=r"^message: .*LeRobot's robot client sends numbers, text, NumPy arrays"):
            messages.loads(pickle.dumps(message))


def test_a_message_changes_no_class():
    """Pickles can set attributes of classes and of members of an enumeration, which would stay."""
    on_class = b"clerobot.async_inference.helpers\nTimedObservation\n(N}Vget_timestep\nI1\nstb."
    on_member = b"clerobot.configs.types\nFeatureType\n(VSTATE\ntR}V_value_\nVACTION\nsb."
    before = TimedObservation.get_timestep
    for data in (on_class, on_member):
        with contextlib.suppress(InputError):
            messages.loads(data)
    assert TimedObservation.get_timestep is before
    assert FeatureType.STATE.value == "STATE"
