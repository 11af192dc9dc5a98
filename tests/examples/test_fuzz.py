"""What `fuzz.py` hunts for hours, for seconds: damaged files of strangers are data or a sentence, for every reader."""

import io
import struct
import zipfile
from functools import cache

import pytest
import torch
from example_scripts import load_script
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_sdm.datasets.convert.safety import list_files, opened
from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.torch_archive import TorchArchive

fuzz = load_script("maintenance/fuzz.py")
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
"""How the two descriptions of a member of a zip file begin."""


@cache
def seeds(target: str) -> list[bytes]:
    return list(fuzz.TARGETS[target][1]())


@pytest.mark.parametrize("target", fuzz.TARGETS)
@given(data=st.data())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_damaged_files(target, data):
    """Some bytes replaced anywhere, and perhaps the end cut off."""
    read, _ = fuzz.TARGETS[target]
    content = bytearray(data.draw(st.sampled_from(seeds(target)), label="seed"))
    places = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.dictionaries(places, st.integers(0, 255), min_size=1, max_size=4)).items():
        content[place] = byte
    read(bytes(content[: data.draw(st.none() | places, label="end")]))


def archive(tmp_path, change):
    """A file of torch.save, which is a zip file, with something changed in it."""
    file = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, file)
    path = tmp_path / "x.ckpt"
    path.write_bytes(change(bytearray(file.getvalue())))
    return path


def marked(data: bytearray, signature: bytes, offset: int, value: int) -> bytearray:
    """Set bits of a field of every member's description."""
    place = data.find(signature)
    while place >= 0:
        field = struct.unpack_from("<H", data, place + offset)[0]
        struct.pack_into("<H", data, place + offset, field | value)
        place = data.find(signature, place + 4)
    return data


def read_all(path):
    with opened(path) as open_file:
        return [open_file(key).read() for key in list_files(path, "")]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: marked(marked(data, CENTRAL, 8, 1), LOCAL, 6, 1),  # encrypted
        lambda data: marked(data, CENTRAL, 6, 200),  # a version to come
        lambda data: marked(marked(data, CENTRAL, 8, 0x800), CENTRAL, 46, 0xFFFF),  # a name that is no UTF-8
    ],
    ids=["encrypted", "version", "name"],
)
def test_what_the_fuzzer_found_in_zip_files(tmp_path, change):
    """Python's zipfile raises RuntimeError, NotImplementedError and UnicodeDecodeError for these."""
    path = archive(tmp_path, change)
    with pytest.raises(InputError, match=r"x\.ckpt: .*(Copy the file|or copy it) again"), TorchArchive(path) as saved:
        saved.structure({})
    with pytest.raises(InputError, match="damaged or encrypted"):
        read_all(path)


def test_zip_files_in_several_parts(tmp_path):
    """Of which `zipfile.is_zipfile`, which is asked first, raises BadZipFile."""
    path = tmp_path / "store.zip"
    with zipfile.ZipFile(path, "w") as store:
        store.writestr("data/action", b"x")
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    # What tells where the end of a large file's directory lies: in part 1 of 2.
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 1, 0, 2)
    path.write_bytes(data[:end] + bytes(56) + locator + data[end:])
    with pytest.raises(InputError, match=r"store\.zip: is neither a folder nor a complete zip file"):
        list_files(path, "")


def test_members_without_a_name(tmp_path):
    path = tmp_path / "store.zip"
    with zipfile.ZipFile(path, "w") as store:
        store.writestr(".", b"nothing")
    with pytest.raises(InputError, match=r"store\.zip: has a member without a name"):
        list_files(path, "")
