"""Pickles that try to create a file, each in another way, and pickles that try to exhaust the machine."""

import collections
import pickle
import struct
from pathlib import Path


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced


def hostile_pickles(canary: Path) -> dict[str, bytes]:
    """Programs that create `canary` where Python's own pickle runs them."""
    import builtins
    import os
    import subprocess

    touch, python = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    system, text = b"cos\nsystem\n", b"V" + touch.encode() + b"\n"
    return {
        **{f"os.system, protocol {p}": pickle.dumps(Calls(os.system, touch), protocol=p) for p in range(6)},
        "builtins.eval": pickle.dumps(Calls(builtins.eval, python)),
        "builtins.exec": pickle.dumps(Calls(builtins.exec, python)),
        "subprocess": pickle.dumps(Calls(subprocess.check_output, ["touch", str(canary)])),
        "nested": pickle.dumps({"state_dicts": [(1, {"x": Calls(list, (Calls(os.system, touch),))})]}),
        "inside an allowed call": pickle.dumps(collections.OrderedDict(model=Calls(os.system, touch))),
        "found by getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(Vos\ntRVsystem\ntR(" + text + b"tR.",
        "INST": b"(" + text + b"ios\nsystem\n.",
        "OBJ": b"(" + system + text + b"o.",
        "kept in the memo": system + b"p7\n0g7\n(" + text + b"tR.",
        "dotted name": b"\x80\x04\x8c\x07pathlib\x8c\x0aPath.touch\x93cpathlib\nPath\n(V"
        + str(canary).encode()
        + b"\ntR\x85R.",
        "the state setter of an allowed class": pickle.dumps(
            Calls(collections.OrderedDict, state={"model": Calls(os.system, touch)})
        ),
    }  # fmt: skip


def extension_pickle() -> bytes:
    """Calls a function by its number in copyreg's registry."""
    return b"\x80\x02\x82\xf0(tR."


def greedy_pickles() -> dict[str, bytes]:
    """Short programs that announce far more than they hold."""
    return {
        "text of 4 EiB": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
        "bytes of 4 EiB": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
        "bytearray of 4 EiB": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.",
        "number of 2 GiB": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
        "deep key": b"}K\x01" + b"\x85" * 200_000 + b"Ns.",
        "frame of 4 EiB": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"x.",
    }
