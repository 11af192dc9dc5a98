"""Random stores: whatever is in them comes out again, and whatever is broken is refused."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as random_arrays
from make_stores import stored_columns, write_store

from lerobot_sdm.datasets.convert.mapping import Choices
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert
from lerobot_sdm.errors import InputError

# The same stores in every run; give more examples, and another seed, to look further.
QUICK = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
DTYPES = ("float16", "float32", "float64", ">f4", "bool", "int8", ">i2", "int64", "uint8", "uint16", "uint32", "uint64")
COMPRESSORS = {
    2: ("auto", None),
    3: ("auto", None, zarr.codecs.GzipCodec(), zarr.codecs.BloscCodec(cname="lz4")),
}
NAMES = ("state", "full_state", "img", "depth", "point_cloud", "timestamp", "action_mask", "odd name", "group/inner")


@st.composite
def stores(draw) -> dict:
    """What to write: lengths of episodes from one frame on, arrays of any rank and type, any chunks."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    rows = sum(lengths)
    contents = {
        "action": draw(random_arrays("float32", (rows, draw(st.integers(1, 3))), elements=st.floats(-9, 9, width=32)))
    }
    contents["state"] = draw(random_arrays("float64", (rows, 2), elements=st.floats(-(2**60), 2**60)))
    for name in draw(st.lists(st.sampled_from(NAMES[1:]), unique=True, max_size=3)):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        shape = draw(st.lists(st.integers(1, 4), max_size=4))
        elements = st.floats(-1000, 1000, width=min(8 * dtype.itemsize, 64)) if dtype.kind == "f" else None
        if dtype == np.uint64:
            elements = st.integers(0, 2**63 - 1)  # more than LeRobot can read is refused, see test_bad_stores
        contents[name] = draw(random_arrays(dtype, (rows, *shape), elements=elements, fill=st.nothing()))
    zarr_format = draw(st.sampled_from((2, 3)))
    return {
        "arrays": contents,
        "ends": np.cumsum(lengths).astype(draw(st.sampled_from(("int64", "int32", "uint16")))),
        "zarr_format": zarr_format,
        "chunk_rows": draw(st.integers(1, rows + 2)),
        "compressors": draw(st.sampled_from(COMPRESSORS[zarr_format])),
    }


def converted(source: Path, name: str = "out") -> dict:
    """Convert without pictures, so that every array is kept as numbers."""
    choices = Choices(images="image", depth="array", color_range="none")
    return stored_columns(convert(ConvertConfig(source, root=source.parent / name, fps=20, choices=choices)))


def check(columns: dict, contents: dict[str, np.ndarray], ends: np.ndarray) -> None:
    """Every value of every array is in some column, bit for bit, in its episode."""
    unclaimed = dict(columns)
    for name, values in contents.items():
        key = next(key for key, stored in unclaimed.items() if _same(stored, values))
        del unclaimed[key]
        assert name != "action" or key == "action"
    lengths = np.diff(ends.astype(np.int64), prepend=0)
    assert columns["episode_index"] == np.repeat(np.arange(len(ends)), lengths).tolist()
    assert columns["frame_index"] == list(itertools.chain.from_iterable(range(length) for length in lengths))
    assert columns["index"] == list(range(int(ends[-1])))


def _same(stored: list, values: np.ndarray) -> bool:
    native = values.astype(values.dtype.newbyteorder("="))
    try:
        return np.array(stored, dtype=native.dtype).reshape(native.shape).tobytes() == native.tobytes()
    except (TypeError, ValueError, OverflowError):
        return False


def test_large_whole_numbers_in_an_episode_of_one_frame(tmp_path):
    """A random store once showed that their statistics could not be written."""
    contents = {
        "action": np.zeros((5, 1), np.float32),
        "state": np.zeros((5, 2)),
        "clock": np.array([2**63 - 1, 0, 0, 0, 0], np.uint64),
    }
    source = write_store(tmp_path / "demo.zarr", contents, np.array([1, 5]))
    check(converted(source), contents, np.array([1, 5]))


@QUICK
@given(store=stores(), zipped=st.booleans())
def test_what_goes_in_comes_out(store, zipped):
    with tempfile.TemporaryDirectory() as folder:
        source = write_store(Path(folder) / f"demo.{'zip' if zipped else 'zarr'}", **store)
        check(converted(source), store["arrays"], store["ends"])


@QUICK
@given(store=stores(), data=st.data())
def test_a_damaged_file_is_refused_or_harmless(store, data):
    """Cut or flip any file of the store: either one error and nothing written, or the same data as before."""
    with tempfile.TemporaryDirectory() as folder:
        source = write_store(Path(folder) / "demo.zarr", **store | {"compressors": "auto"})
        file = data.draw(st.sampled_from(sorted(path for path in source.rglob("*") if path.is_file())))
        content = bytearray(file.read_bytes())
        if content and data.draw(st.booleans()):
            del content[data.draw(st.integers(0, len(content) - 1)) :]
        else:
            content += b"\0"
        file.write_bytes(content)
        try:
            columns = converted(source)
        except InputError:
            assert [path.name for path in Path(folder).iterdir()] == ["demo.zarr"]
        else:
            check(columns, store["arrays"], store["ends"])


@QUICK
@given(
    ends=st.lists(st.integers(-2, 14), max_size=5),
    spoiled=st.none()
    | st.tuples(st.sampled_from(("action", "state")), st.integers(0, 11), st.sampled_from((np.nan, np.inf))),
    lost=st.integers(0, 2),
)
def test_what_makes_no_sense_is_refused(ends, spoiled, lost):
    contents = {"action": np.ones((12, 2), np.float32), "state": np.arange(24.0).reshape(12, 2)[: 12 - lost]}
    row_is_bad = spoiled is not None and spoiled[1] < len(contents[spoiled[0]])
    if row_is_bad:
        contents[spoiled[0]][spoiled[1], 1] = spoiled[2]
    good_ends = bool(ends) and ends[-1] == 12 and all(a < b for a, b in itertools.pairwise([0, *ends]))
    with tempfile.TemporaryDirectory() as folder:
        source = write_store(Path(folder) / "demo.zarr", contents, np.array(ends, dtype=int))
        try:
            columns = converted(source)
        except InputError:
            assert row_is_bad or lost or not good_ends
            assert [path.name for path in Path(folder).iterdir()] == ["demo.zarr"]
        else:
            assert not row_is_bad
            assert not lost
            assert good_ends
            check(columns, contents, np.array(ends))
