"""The unpickler: reads what is allowed as data, and lets nothing else happen."""

import collections
import contextlib
import copyreg
import os
import pickle
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safe_files.hostile_pickles import Calls, extension_pickle, greedy_pickles, hostile_pickles

from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.unpickling import Global, Record, RefusedPickleError, inert, load

ORDERED = inert("collections.OrderedDict")
NAMES = tuple(hostile_pickles(Path("unused")))

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = st.integers() | st.text() | st.tuples(st.text(), st.integers())
data = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner) | st.sets(keys),
    max_leaves=20,
)


@given(value=data, protocol=st.integers(3, pickle.HIGHEST_PROTOCOL))
@settings(max_examples=60, deadline=None)
def test_plain_data_come_out_as_pickle_would_give_them(value, protocol):
    # Sets need a call of `builtins.set` below protocol 4.
    allowed = {("builtins", "set"): set}
    assert load(pickle.dumps(value, protocol=protocol), allowed, source="x") == value


def test_shared_and_circular_objects_stay_shared():
    value = [[1]]
    value += [value[0], value]
    out = load(pickle.dumps(value), {}, source="x")
    assert out[0] is out[1]
    assert out[2] is out


@pytest.mark.parametrize("protocol", range(6))
def test_objects_come_out_as_records(protocol):
    out = load(pickle.dumps(Weird(), protocol=protocol), inert(f"{__name__}.build"), source="x")
    assert type(out) is Record
    assert out.name == f"{__name__}.build"
    assert (out.args, out.state, out.items, out.entries) == (("a",), {"s": 1}, [1, 2], {"k": 3})


def build(*_):
    raise AssertionError("must never run")


class Weird:
    def __reduce__(self):
        return build, ("a",), {"s": 1}, iter([1, 2]), iter([("k", 3)])


def test_instances_come_out_without_their_init_or_setstate():
    allowed = inert(
        f"{__name__}.Touchy",
        "copyreg._reconstructor",
        "builtins.object",
        "copy_reg._reconstructor",
        "__builtin__.object",
    )
    for protocol in range(6):
        out = load(pickle.dumps(Touchy(), protocol=protocol), allowed, source="x")
        assert out.state == {"a": 1}


class Touchy:
    def __init__(self):
        self.a = 1

    def __setstate__(self, state):
        raise AssertionError("must never run")


def test_a_name_that_is_not_called_is_only_a_name():
    out = load(pickle.dumps([os.system, collections.OrderedDict]), {**ORDERED, **inert("posix.system")}, source="x")
    assert [(type(g), g.module, g.name) for g in out] == [
        (Global, "posix", "system"),
        (Global, "collections", "OrderedDict"),
    ]


def test_allowed_functions_are_called_in_the_place_of_the_named_ones():
    out = load(pickle.dumps(Calls(os.system, "ls")), {("posix", "system"): lambda text: text.upper()}, source="x")
    assert out == "LS"


@pytest.mark.parametrize("name", NAMES)
def test_hostile_pickles_are_refused_without_effect(name, tmp_path):
    canary = tmp_path / "canary"
    payload = hostile_pickles(canary)[name]
    with pytest.raises(RefusedPickleError, match=r"file\.ckpt: asks for '.+', which no such file needs"):
        load(payload, ORDERED, source="file.ckpt")
    assert not canary.exists()
    # The payload is not a dud: Python's own pickle runs it.
    pickle.loads(payload)
    assert canary.exists()


def test_the_refusal_names_what_was_asked_for(tmp_path):
    for name, asked in {"builtins.eval": "builtins.eval", "INST": "os.system", "nested": "builtins.list"}.items():
        with pytest.raises(RefusedPickleError, match=f"'{asked}'"):
            load(hostile_pickles(tmp_path / "x")[name], ORDERED, source="x")


def test_extension_codes_are_refused(tmp_path, monkeypatch):
    copyreg.add_extension(__name__, "build", 240)
    try:
        with pytest.raises(RefusedPickleError, match="EXT1 240"):
            load(extension_pickle(), ORDERED, source="x")
    finally:
        copyreg.remove_extension(__name__, "build", 240)


def test_persistent_ids_are_refused_unless_the_importer_takes_them():
    payload = b"\x80\x02X\x01\x00\x00\x00aQ."
    with pytest.raises(RefusedPickleError, match="persistent id 'a'"):
        load(payload, {}, source="x")
    assert load(payload, {}, source="x", persistent_load=lambda identity: [identity]) == ["a"]


@pytest.mark.parametrize(
    ("payload", "asked"),
    [
        (b"ccollections\nOrderedDict\n}b.", "a change of 'collections.OrderedDict'"),  # state into a class
        (b"ccollections\nOrderedDict\n(N}X\x01\x00\x00\x00aNstb.", "a change of 'collections.OrderedDict'"),
        (b"ccollections\nOrderedDict\n]e.", "."),
        (b"ccollections\nOrderedDict\n)R)R.", "a call of what 'collections.OrderedDict' made"),
        (b"Vos.system\n)R.", "a call of a str"),
        (b"}}b.", "a change of a dict"),
        (b")Na.", "a change of a tuple"),
    ],
)
def test_only_data_can_be_changed_and_only_names_called(payload, asked):
    with pytest.raises(InputError, match=asked):
        load(payload, ORDERED, source="x")


def test_a_poisoned_class_does_not_outlive_its_file():
    with pytest.raises(RefusedPickleError):
        load(b"ccollections\nOrderedDict\n}X\x04\x00\x00\x00nameX\x01\x00\x00\x00xsb.", ORDERED, source="x")
    assert load(b"ccollections\nOrderedDict\n)R.", ORDERED, source="x").name == "collections.OrderedDict"


@pytest.mark.parametrize("name", greedy_pickles())
def test_announced_sizes_are_not_believed(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError):
        load(greedy_pickles()[name], {}, source="x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_a_memo_index_allocates_nothing():
    assert load(b"\x80\x02Nr\xff\xff\xff\x7f.", {}, source="x") is None


def test_too_long_pickles_are_refused(monkeypatch):
    monkeypatch.setattr("lerobot_sdm.safe_files.unpickling.MAX_BYTES", 10)
    with pytest.raises(InputError, match=r"x: its pickle has 11 bytes"):
        load(b"K\x01" * 5 + b".", {}, source="x")


def test_integers_that_no_float_holds_are_refused():
    assert load(pickle.dumps(2**128), {}, source="x") == 2**128
    with pytest.raises(RefusedPickleError, match="an integer of 1329 bits"):
        load(pickle.dumps(10**400), {}, source="x")


def test_truncated_pickles_are_refused():
    whole = pickle.dumps({"a": [1, (2, 3)], "b": collections.OrderedDict(c=b"bytes")})
    assert load(whole, ORDERED, source="x")["a"] == [1, (2, 3)]
    for length in range(len(whole)):
        with pytest.raises(InputError, match="complete, valid pickle"):
            load(whole[:length], ORDERED, source="x")


@given(noise=st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused_or_read_but_never_crashes(noise):
    with contextlib.suppress(InputError):
        load(noise + b".", ORDERED, source="x")
