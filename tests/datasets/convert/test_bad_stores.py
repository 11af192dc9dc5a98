"""Damaged, hostile and mistaken stores: one clear error, and nothing is written."""

import json
import shutil
import stat
import warnings
import zipfile
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from make_stores import demonstrations, stored_columns, write_store, zip_store

from lerobot_sdm.datasets.convert.mapping import Choices
from lerobot_sdm.datasets.convert.run import ConvertConfig, convert
from lerobot_sdm.datasets.convert.safety import SAFE_CODECS
from lerobot_sdm.errors import InputError


def refuse(source: Path, match: str, **options) -> None:
    """Convert, expect one error that matches, and check that nothing but the source is there."""
    before = sorted(source.parent.rglob("*"))
    root = source.parent / "out"
    with pytest.raises(InputError, match=match) as caught:
        convert(ConvertConfig(**{"source": source, "root": root, "fps": 20} | options))
    assert "\n" not in str(caught.value)
    assert sorted(source.parent.rglob("*")) == before


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    return demonstrations()[0]


@pytest.fixture
def demo(tmp_path) -> Path:
    return write_store(tmp_path / "demo.zarr", *demonstrations())


@pytest.mark.parametrize(
    ("ends", "match"),
    [
        ([4, 3, 12], r"meta/episode_ends\[1\]=3 follows 4: episode 1 ends before it begins"),
        ([4, 4, 12], r"meta/episode_ends\[1\]=4 follows 4: episode 1 is empty"),
        ([0, 4, 12], r"meta/episode_ends\[0\]=0 follows 0: episode 0 is empty"),
        ([-3, 12], r"meta/episode_ends\[0\]=-3"),
        ([4, 13], r"meta/episode_ends\[-1\]=13, but the arrays have 12 rows: the ends are beyond the data"),
        ([4, 11], r"meta/episode_ends\[-1\]=11, .* leave rows without an episode"),
        (np.zeros(0, int), "meta/episode_ends is empty"),
        ([4.0, 12.0], "it must be a list of integers"),
        ([[4], [12]], "it must be a list of integers"),
    ],
)
def test_ends_that_do_not_cut_the_data_into_episodes(tmp_path, arrays, ends, match):
    refuse(write_store(tmp_path / "demo.zarr", arrays, ends), match)


def test_arrays_of_different_lengths(tmp_path, arrays):
    arrays["state"] = arrays["state"][:-1]
    refuse(write_store(tmp_path / "demo.zarr", arrays, [4, 12]), r"data/state has 11")


@pytest.mark.parametrize(
    ("name", "place", "value", "match"),
    [
        ("point_cloud", (7, 30, 1), np.nan, r"data/point_cloud\[7, 30, 1\] is nan, in 1 of the rows 5 to 11"),
        ("action", (0, 2), -np.inf, r"data/action\[0, 2\] is -inf"),
        ("depth", (11, 3, 3), np.inf, r"data/depth\[11, 3, 3\] is inf.*--skip depth"),
        ("point_cloud", (3, 0, 4), 256, r"row 3 has a color of 256.0, outside of 0 to 255"),
    ],
)
def test_values_that_no_policy_can_learn_from(tmp_path, arrays, name, place, value, match):
    arrays[name][place] = value
    refuse(write_store(tmp_path / "demo.zarr", arrays, [4, 5, 12]), match)


def test_numbers_that_lerobot_cannot_read(tmp_path, arrays):
    arrays["clock"] = np.arange(12, dtype=np.uint64) + np.uint64(2**63 - 8)
    refuse(
        write_store(tmp_path / "demo.zarr", arrays, [12]),
        "data/clock: row 8 contains a number above 9223372036854775807",
    )


@pytest.mark.parametrize(("dtype", "value"), [("float32", -3e19), ("float64", 1e160)])
def test_numbers_whose_statistics_overflow(tmp_path, arrays, dtype, value):
    arrays["full_state"] = arrays["full_state"].astype(dtype)
    arrays["full_state"][8, 3] = value
    source = write_store(tmp_path / "demo.zarr", arrays, [4, 5, 12])
    square = f"contains {abs(value):g}, whose square overflows {dtype}".replace("+", r"\+")
    refuse(source, rf"data/full_state: row 8 {square}, .*--skip full_state\.")
    # Numbers that are only large are converted.
    arrays["full_state"][8, 3] = value / 10**6
    source = write_store(tmp_path / "other.zarr", arrays, [4, 5, 12])
    root = convert(ConvertConfig(source, root=tmp_path / "out", fps=20))
    assert np.array(stored_columns(root)["full_state"])[8, 3] == arrays["full_state"][8, 3]


def test_pictures_that_are_not_of_8_bits(tmp_path, arrays):
    arrays["img"] = arrays["img"].astype(np.float32)
    arrays["img"][9, 0, 0, 0] += 0.25 if arrays["img"][9, 0, 0, 0] < 255 else -0.25
    refuse(write_store(tmp_path / "demo.zarr", arrays, [12]), "row 9 is not a picture with 8 bits per color")


def test_depth_in_another_unit_than_lerobot_takes_it_for(tmp_path, arrays):
    arrays["depth"] = arrays["depth"] * 1000
    source = write_store(tmp_path / "demo.zarr", arrays, [4, 5, 12])
    refuse(source, r"data/depth: row 0 has a mean depth of \d+ m.*in millimeters.*--depth=array")
    root = convert(ConvertConfig(source, root=tmp_path / "out", fps=20, choices=Choices(depth="array")))
    np.testing.assert_array_equal(np.float32(stored_columns(root)["observation.depth"]), arrays["depth"])


def test_colors_that_are_not_in_the_declared_range(demo):
    refuse(demo, "outside of 0 to 1", choices=Choices(color_range="0-1"))


COMPRESSORS = {
    (2, "zstd"): numcodecs.Blosc(cname="zstd"),
    (2, "lz4"): numcodecs.Blosc(cname="lz4"),
    (2, "gzip"): numcodecs.GZip(),
    (2, "none"): None,
    (3, "zstd"): zarr.codecs.BloscCodec(cname="zstd"),
    (3, "lz4"): zarr.codecs.BloscCodec(cname="lz4"),
    (3, "gzip"): zarr.codecs.GzipCodec(),
    (3, "none"): None,
}


@pytest.mark.parametrize(("zarr_format", "codec"), COMPRESSORS)
@pytest.mark.parametrize("cut", ["empty", "half", "last byte"])
def test_chunks_that_are_cut_short(tmp_path, arrays, zarr_format, codec, cut):
    source = write_store(tmp_path / "demo.zarr", arrays, [12], zarr_format, compressors=COMPRESSORS[zarr_format, codec])
    chunk = source / "data/state" / ("1.0" if zarr_format == 2 else "c/1/0")
    content = chunk.read_bytes()
    chunk.write_bytes(content[: {"empty": 0, "half": len(content) // 2, "last byte": len(content) - 1}[cut]])
    refuse(source, r"data/state.*(truncated or corrupt)")


def test_chunks_of_garbage(demo):
    chunk = demo / "data/action/0.0"
    chunk.write_bytes(bytes(reversed(chunk.read_bytes())))
    refuse(demo, r"data/action.*truncated or corrupt")


def test_absent_chunks_are_no_zeros(demo):
    (demo / "data/state/2.0").unlink()
    refuse(demo, r"chunk data/state/2.0 is missing")


def test_absent_chunks_are_zeros_on_request(demo):
    (demo / "data/state/2.0").unlink()
    root = convert(ConvertConfig(demo, root=demo.parent / "out", fps=20, fill_missing_chunks=True))
    states = np.array(stored_columns(root)["observation.state"])
    assert (states[10:] == 0).all()
    assert (states[:10] != 0).all()


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def test_arrays_of_objects_are_never_unpickled(tmp_path, demo):
    canary = tmp_path / "canary"
    objects = np.empty(12, object)
    objects[:] = [Bomb(canary)] * 12
    folder = demo / "data/notes"
    folder.mkdir()
    described = json.loads((demo / "data/action/.zarray").read_text())
    described |= {"shape": [12], "chunks": [12], "dtype": "|O", "compressor": None, "fill_value": None}
    (folder / "0").write_bytes(numcodecs.Pickle().encode(objects))
    for codec in ({"id": "pickle", "protocol": 5}, {"id": "vlen-utf8"}):
        (folder / ".zarray").write_text(json.dumps(described | {"filters": [codec]}))
        refuse(demo, r"data/notes/.zarray has type '\|O'. Only arrays of numbers")
    # The codec alone is reason enough, whatever the type says.
    (folder / ".zarray").write_text(json.dumps(described | {"dtype": "<f4", "filters": [{"id": "pickle"}]}))
    refuse(demo, "codec 'pickle', which is not accepted")
    assert not canary.exists()
    convert(ConvertConfig(demo, root=tmp_path / "out", fps=20, skip=("notes",)))
    assert not canary.exists()


def test_text_arrays_of_version_3(tmp_path, arrays):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = write_store(tmp_path / "demo.zarr", arrays, [12], 3)
        zarr.open_group(source).create_array("data/notes", data=np.array(["a"] * 12, dtype=np.dtypes.StringDType()))
    refuse(source, "data/notes/zarr.json has type 'string'")


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda path: shutil.rmtree(path / "meta"), "not a demonstration store"),
        (lambda path: shutil.rmtree(path / "data"), "has no arrays under data/"),
        (lambda path: (path / "meta/episode_ends/0").unlink(), "chunk meta/episode_ends/0 is missing"),
        (lambda path: (path / "data/action/.zarray").write_text("{"), "data/action/.zarray cannot be parsed"),
        (lambda path: (path / "data/action/.zarray").write_text("[]"), "data/action/.zarray cannot be parsed"),
        (lambda path: (path / "data/action/.zarray").write_text("[" * 500_000), "data/action/.zarray cannot be parsed"),
        (lambda path: (path / "data/action/.zarray").write_text("{}"), "data/action/.zarray has type None"),
    ],
)
def test_folders_that_are_no_stores(demo, spoil, match):
    spoil(demo)
    refuse(demo, match)


def test_declared_chunks_that_no_memory_holds(demo):
    path = demo / "data/action/.zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shape": [10**12, 4], "chunks": [10**12, 4]}))
    refuse(demo, "declares chunks of 16000000000000 bytes")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_bytes(b"no zip"), "is neither a folder nor a complete zip file"),
        (lambda path: path.write_bytes(path.with_suffix(".good").read_bytes()[:-200]), "nor a complete zip file"),
    ],
)
def test_paths_that_are_no_stores(tmp_path, demo, make, match):
    path = tmp_path / "other.zip"
    zip_store(demo, path.with_suffix(".good"))
    make(path)
    refuse(path, match)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "data/../../evil", "..\\evil", "C:\\evil"])
def test_zip_files_that_lead_out_of_their_folder(tmp_path, demo, name):
    path = zip_store(demo, tmp_path / "demo.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"out")
    refuse(path, "leads outside the zip file's folder")


def test_zip_files_with_links(tmp_path, demo):
    path = zip_store(demo, tmp_path / "demo.zip")
    link = zipfile.ZipInfo("data/state/9.0")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refuse(path, "leads outside the zip file's folder")


def test_zip_files_with_damaged_members(tmp_path, demo):
    path = tmp_path / "demo.zip"
    zip_store(demo, path)
    content = bytearray(path.read_bytes())
    position = content.find((demo / "data/point_cloud/0.0.0").read_bytes())
    content[position + 100] ^= 0xFF
    path.write_bytes(content)
    refuse(path, "Bad CRC-32|truncated or corrupt")


def test_the_folder_around_a_store_is_none(tmp_path, demo):
    with pytest.raises(InputError, match=r"not a demonstration store.* such as demo.zarr in it"):
        convert(ConvertConfig(tmp_path, root=tmp_path / "out", fps=20))
    assert not (tmp_path / "out").exists()


def test_zip_files_with_two_stores(tmp_path, demo):
    path = zip_store(demo, tmp_path / "demo.zip", "one/")
    with zipfile.ZipFile(path, "a") as archive:
        for file in demo.rglob("*"):
            if file.is_file():
                archive.write(file, f"two/{file.relative_to(demo)}")
    refuse(path, "it has 2 meta/episode_ends")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mapping": ("stat=observation.state",)}, "Did you mean 'state'"),
        ({"mapping": ("state",)}, "expected NAME=COLUMN"),
        ({"mapping": ("state=observation/state",)}, "expected NAME=COLUMN"),
        ({"mapping": ("state=observation.point_cloud", "point_cloud=pc")}, r"shape \(9,\) per row; .*\(points, 3"),
        ({"mapping": ("img=observation.state", "state=s")}, "'observation.state' must be a vector"),
        ({"mapping": ("state=observation.image", "img=i")}, r"pictures must be \(H, W, 3\)"),
        ({"mapping": ("state=observation.depth", "depth=d")}, "depth must be"),
        ({"mapping": ("depth=frames", "img=frames")}, "'frames' .*only vectors and clouds can be joined"),
        ({"mapping": ("state=index",)}, "LeRobot reserves 'index'"),
        ({"mapping": ("full_state=task",)}, "LeRobot reserves 'task'"),
        ({"mapping": ("state[9:]=observation.state",)}, "the slice is empty"),
        ({"mapping": ("action=what",)}, "no array becomes 'action'"),
        ({"mapping": ("state=s", "point_cloud=p", "img=i", "depth=d")}, "no array becomes an observation"),
        ({"layout": "metawrld"}, "Did you mean 'metaworld'"),
        ({"layout": "metaworld"}, r"expects data/full_state with shape \(39,\), which has shape \(20,\)"),
        ({"skip": ("stat",)}, "--skip: 'stat' is not known. Did you mean 'state'"),
        ({"fps": None}, "--fps: is missing"),
        ({"fps": 0}, "--fps=0"),
        ({"workers": 0}, "--workers=0"),
        ({"repo_id": "a/b/c"}, "--repo-id=a/b/c"),
    ],
)
def test_options_that_do_not_fit_the_store(demo, options, match):
    refuse(demo, match, **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"points": 71}, "has only 70 points"), ({"points": 0}, "--resample-points=0")]
    + [({name: "vidoe"}, f"--{name.replace('_', '-')}") for name in ("images", "depth", "color_range")],
)
def test_choices_that_do_not_fit(demo, options, match):
    with pytest.raises(InputError, match=match):
        convert(ConvertConfig(demo, root=demo.parent / "out", fps=20, choices=Choices(**options)))
    assert not (demo.parent / "out").exists()


def test_resampling_without_a_cloud(demo):
    refuse(demo, "no array becomes 'observation.point_cloud'", skip=("point_cloud",), choices=Choices(points=3))


def test_no_safe_codec_holds_objects():
    assert not {"pickle", "json2", "msgpack2", "vlen-bytes", "vlen-utf8", "vlen-array"} & SAFE_CODECS


def test_an_array_that_cannot_be_read_can_be_left_out(tmp_path, demo):
    """UMI's stores compress pictures with a codec that is not read here; the rest of them can be converted."""
    metadata = demo / "data/img/.zarray"
    codec = {"id": "imagecodecs_jpegxl"}
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"compressor": codec}))
    refuse(demo, r"codec 'imagecodecs_jpegxl', which is not accepted\. Exclude the array with --skip img\.")
    root = convert(ConvertConfig(demo, root=tmp_path / "out", fps=20, skip=("img",)))
    assert "observation.image" not in stored_columns(root)
