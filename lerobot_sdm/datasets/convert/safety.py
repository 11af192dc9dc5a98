"""What must hold before zarr is let near a store: no way out of a zip file, no pickles, no broken chunks."""

import contextlib
import errno
import itertools
import json
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import zarr
from tqdm import tqdm

from lerobot_sdm.datasets.progress import BAR_DELAY
from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.zip_files import ZIP_DAMAGE

# Codecs that do arithmetic and nothing else. Pickle, JSON and text codecs, which object arrays need, are not here.
SAFE_CODECS = {"bytes", "transpose", "sharding_indexed", "blosc", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4"}
SAFE_CODECS |= {"shuffle", "delta", "packbits", "crc32c", "crc32", "adler32", "fletcher32"}
# Where a blosc frame, which begins with this many bytes, says how long it is and how long what it holds.
BLOSC_HEADER = 16
BLOSC_CONTENT, BLOSC_FRAME = slice(4, 8), slice(12, 16)

OpenFile = Callable[[str], IO[bytes]]


def is_safe_array(label: str, raw: bytes, remedy: str) -> bool:
    """Whether this metadata describes an array.

    Args:
        label: What to call it.
        raw: The metadata.
        remedy: What the user can do if it cannot be read.

    Raises:
        InputError: Only unpickling, or a codec that is not known, could read it.
    """
    try:
        described = json.loads(raw)
        if described.get("node_type", "array") != "array":
            return False
        dtype = described.get("dtype", described.get("data_type"))
        codecs = {codec for part in ("codecs", "filters", "compressor") for codec in _codecs(described.get(part))}
    except (ValueError, AttributeError) as error:
        raise InputError(f"{label} is no readable metadata ({error}). Copy the store again.") from error
    if not _is_numeric(dtype):
        raise InputError(
            f"{label} has type {dtype!r}. Only arrays of numbers are read; objects are pickles, which can run "
            f"anything. {remedy}".rstrip()
        )
    if unknown := codecs - SAFE_CODECS:
        raise InputError(
            f"{label} is stored with the codec {', '.join(map(repr, sorted(unknown)))}, which is not accepted. "
            f"{remedy or 'Write the store again with blosc, zstd or gzip.'}"
        )
    return True


def _is_numeric(dtype: Any) -> bool:
    try:
        return isinstance(dtype, str) and np.dtype(dtype).kind in "biuf" and np.dtype(dtype).itemsize <= 8
    except (TypeError, ValueError, SyntaxError):
        return False


def _codecs(part: Any) -> Iterator[str]:
    """Names of all codecs in a piece of metadata, nested ones included."""
    if isinstance(part, list):
        for item in part:
            yield from _codecs(item)
    elif isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        yield str(part.get("id", part.get("name"))).removeprefix("numcodecs.")
        configuration = part.get("configuration") or {}
        yield from _codecs(configuration.get("codecs"))
        yield from _codecs(configuration.get("index_codecs"))


def check_chunks(
    label: str,
    key: str,
    array: zarr.Array,
    files: Mapping[str, int],
    open_file: OpenFile,
    fill_missing: bool,
    advance: Callable[[], Any],
) -> int:
    """Refuse an array with chunks that are absent or cut short.

    zarr reads an absent chunk as the fill value, so half a download looks like zeros; and the blosc library reads
    past the end of a chunk that is cut short, and now and then returns garbage without complaint.

    Args:
        label: What to call the store.
        key: The array's key, such as `data/action`.
        array: The array.
        files: Size of every file of the store, by its key.
        open_file: Opens one of them.
        fill_missing: Whether absent chunks are taken for chunks full of the fill value.
        advance: Called after each chunk.

    Returns:
        How many are absent.

    Raises:
        InputError: Naming the chunk.
    """
    outer = array.shards or array.chunks
    grid = itertools.product(*(range(-(-extent // size)) for extent, size in zip(array.shape, outer, strict=True)))
    content = int(np.prod(outer)) * array.dtype.itemsize
    absent = 0
    for chunk in (f"{key}/{array.metadata.encode_chunk_key(place)}" for place in grid):
        advance()
        if chunk not in files:
            if fill_missing:
                absent += 1
                continue
            raise InputError(
                f"{label}: chunk {chunk} is absent. If the store is whole and leaves out chunks that only hold the "
                f"fill value ({array.fill_value}), say so with --fill-missing-chunks; otherwise copy it again."
            )
        if array.shards is None and array.compressors and "blosc" in type(array.compressors[-1]).__name__.lower():
            with open_file(chunk) as file:
                header = file.read(BLOSC_HEADER)
            frame, holds = (int.from_bytes(header[part], "little") for part in (BLOSC_FRAME, BLOSC_CONTENT))
            # A filter may change how many bytes there are to compress.
            if frame != files[chunk] or (holds != content and not array.filters):
                raise InputError(
                    f"{label}: chunk {chunk} is truncated or corrupt: it has {files[chunk]} bytes and claims {frame}, "
                    f"which hold {holds} bytes of data where {content} belong. Copy the store again."
                )
    return absent


def list_files(path: Path, prefix: str) -> dict[str, int]:
    """Size of every file below `prefix`, by its key; refuses zip members that lead out of their folder."""
    if path.is_dir():
        entries = tqdm(path.rglob("*"), desc="listing", unit="file", delay=BAR_DELAY, leave=False)
        found = (entry for entry in entries if entry.is_file())
        return {entry.relative_to(path).as_posix(): entry.stat().st_size for entry in found}
    if not path.is_file() or not _is_whole_zip(path):
        missing = "does not exist" if not path.exists() else "is neither a folder nor a whole zip file"
        raise InputError(f"{path}: {missing}. Expected a zarr folder or zip file with data/* and meta/episode_ends.")
    with _opened_zip(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if not place.parts:
            raise InputError(f"{path.name}: a member without a name ({member.filename!r}). Zip the store again.")
        if place.is_absolute() or ".." in place.parts or ":" in place.parts[0] or is_link:
            raise InputError(f"{path.name}: member {member.filename!r} leads out of the zip file's folder. Not opened.")
    sizes = {member.filename: member.file_size for member in members}
    if len(sizes) != len(members):
        raise InputError(f"{path.name}: holds several members of the same name. Zip the store again.")
    return {key.removeprefix(prefix): size for key, size in sizes.items() if key.startswith(prefix)}


def _is_whole_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except ZIP_DAMAGE:  # Its end says that it goes on elsewhere.
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """A function that opens a file of the store for reading; damage of a zip file becomes an InputError."""
    if path.is_dir():
        yield lambda key: (path / key).open("rb")
        return
    with _opened_zip(path) as archive:
        yield archive.open


@contextlib.contextmanager
def _opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (*ZIP_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # Which is a place before the file's beginning.
            raise
        raise InputError(f"{path.name}: {error}. The zip file is damaged or encrypted: copy it again.") from error
