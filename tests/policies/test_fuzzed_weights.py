"""Weights that are cut, changed, missing, left over or not finite are refused by name; every policy type."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from training_options import TYPE_OPTIONS

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.loaded_policy import load_from_spec
from lerobot_sdm.policies.policy_spec import PolicySpec
from lerobot_sdm.safe_files.weights import read_weights

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
LIMITS = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@pytest.fixture
def copied(tmp_path, trained, kind) -> Path:
    return shutil.copytree(trained(kind), tmp_path / kind)


def change(folder: Path, how: str) -> str:
    """Damage the weights of a checkpoint; returns the name of the tensor."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = next(key for key, value in weights.items() if value.is_floating_point() and value.dim() > 1)
    value = weights.pop(name)
    damaged = {
        "missing": {},
        "renamed": {f"{name}_": value},
        "left over": {name: value, "left_over": torch.zeros(2)},
        "of another shape": {name: value[:-1].contiguous()},
        "of whole numbers": {name: value.to(torch.int32)},
        "not a number": {name: value * float("nan")},
        "infinite": {name: value + float("inf")},
    }
    save_file(weights | damaged[how], file)
    return {"left over": "left_over"}.get(how, name)


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
@pytest.mark.parametrize(
    "how", ["missing", "renamed", "left over", "of another shape", "of whole numbers", "not a number", "infinite"]
)
def test_a_tensor_that_is(how, kind, copied):
    name = change(copied, how)
    with pytest.raises(InputError) as error:
        load_from_spec(PolicySpec("x", str(copied)))
    assert name in str(error.value)
    assert "model.safetensors" in str(error.value)


@pytest.mark.parametrize("kind", TYPE_OPTIONS)
def test_a_file_that_is_cut(kind, copied):
    file = copied / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=r"model\.safetensors: not a valid safetensors file"):
        load_from_spec(PolicySpec("x", str(copied)))


@st.composite
def damages(draw, size: int, header: int) -> bytes | tuple[int, int]:
    """Bytes to be written in the place of all, or a number of bytes to keep, or a bit of the header to turn over."""
    kind = draw(st.sampled_from(("cut", "bit", "bytes")))
    if kind == "cut":
        return draw(st.integers(0, size - 1)), -1
    if kind == "bit":
        return draw(st.integers(0, header + 7)), draw(st.integers(0, 7))
    return draw(st.binary(max_size=200))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, dict[str, torch.Tensor], Path]:
    """A file of weights, what is in it, and a place for damaged ones."""
    folder = tmp_path_factory.mktemp("weights")
    weights = {"a": torch.arange(6.0).view(2, 3), "b.weight": torch.ones(4), "count": torch.tensor(3)}
    save_file(weights, folder / "whole.safetensors")
    return (folder / "whole.safetensors").read_bytes(), weights, folder / "damaged.safetensors"


@LIMITS
@given(data=st.data())
def test_damaged_bytes(whole, data):
    """They are refused by the file's name, or they are tensors that the next check compares with what was expected: a
    turned bit may give a tensor another name, but no policy another weight unseen."""
    content, weights, file = whole
    header = struct.unpack("<Q", content[:8])[0]
    assert json.loads(content[8 : 8 + header])
    damage = data.draw(damages(len(content), header))
    if isinstance(damage, bytes):
        content = damage
    elif damage[1] < 0:
        content = content[: damage[0]]
    else:
        place, bit = damage
        content = content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]
    file.write_bytes(content)
    try:
        found = read_weights(file)
    except InputError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert str(file) in refusal
        return
    same = found.keys() == weights.keys() and all(
        found[key].shape == value.shape and found[key].is_floating_point() == value.is_floating_point()
        for key, value in weights.items()
    )
    assert not same or all(torch.equal(found[key].to(value.dtype), value) for key, value in weights.items())
