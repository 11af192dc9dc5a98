"""Checks before zarr opens an untrusted store: no path outside a zip file, no pickles, no broken chunks."""

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

# Codecs that only do arithmetic. Pickle, JSON, and text codecs, which object arrays need, are excluded.
SAFE_CODECS = {"bytes", "transpose", "sharding_indexed", "blosc", "zstd", "gzip", "zlib", "bz2", "lzma", "lz4"}
SAFE_CODECS |= {"shuffle", "delta", "packbits", "crc32c", "crc32", "adler32", "fletcher32"}
# A blosc frame begins with a header of this many bytes, with the sizes of its content and of itself.
BLOSC_HEADER = 16
BLOSC_CONTENT, BLOSC_FRAME = slice(4, 8), slice(12, 16)

OpenFile = Callable[[str], IO[bytes]]


def is_safe_array(label: str, raw: bytes, remedy: str) -> bool:
    """Whether this metadata describes an array.

    Args:
        label: Name of the array in messages.
        remedy: What the user can do if the array cannot be read.

    Raises:
        InputError: Reading it would take pickle or an unknown codec.
    """
    try:
        described = json.loads(raw)
        if described.get("node_type", "array") != "array":
            return False
        dtype = described.get("dtype", described.get("data_type"))
        codecs = {codec for part in ("codecs", "filters", "compressor") for codec in _codecs(described.get(part))}
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{label} cannot be parsed ({error}). Copy the store again.") from error
    if not _is_numeric(dtype):
        raise InputError(
            f"{label} has type {dtype!r}. Only arrays of numbers are read, because objects are pickles, which can "
            f"run any code. {remedy}".rstrip()
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
    """Names of all codecs in a piece of metadata, including nested ones."""
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
    """Refuse an array with missing or truncated chunks.

    zarr reads a missing chunk as the fill value, so an incomplete download looks like zeros. The blosc library reads
    past the end of a truncated chunk, and sometimes returns garbage without an error.

    Args:
        label: Name of the store in messages.
        key: The array's key, such as `data/action`.
        files: Size of every file of the store, by its key.
        fill_missing: Whether missing chunks count as chunks of the fill value.
        advance: Called after each chunk.

    Returns:
        Number of missing chunks.

    Raises:
        InputError: Names the chunk.
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
                f"{label}: chunk {chunk} is missing. If the store is complete and omits chunks that contain only the "
                f"fill value ({array.fill_value}), add --fill-missing-chunks; otherwise copy it again."
            )
        if array.shards is None and array.compressors and "blosc" in type(array.compressors[-1]).__name__.lower():
            with open_file(chunk) as file:
                header = file.read(BLOSC_HEADER)
            frame, holds = (int.from_bytes(header[part], "little") for part in (BLOSC_FRAME, BLOSC_CONTENT))
            # A filter may change the number of bytes to compress.
            if frame != files[chunk] or (holds != content and not array.filters):
                raise InputError(
                    f"{label}: chunk {chunk} is truncated or corrupt: it has {files[chunk]} bytes, but claims {frame}, "
                    f"with {holds} bytes of data instead of {content}. Copy the store again."
                )
    return absent


def list_files(path: Path, prefix: str) -> dict[str, int]:
    """Size of every file under `prefix`, by its key; refuses zip members that lead outside their folder."""
    if path.is_dir():
        entries = tqdm(path.rglob("*"), desc="listing", unit="file", delay=BAR_DELAY, leave=False)
        found = (entry for entry in entries if entry.is_file())
        return {entry.relative_to(path).as_posix(): entry.stat().st_size for entry in found}
    if not path.is_file() or not _is_whole_zip(path):
        missing = "does not exist" if not path.exists() else "is neither a folder nor a complete zip file"
        raise InputError(f"{path}: {missing}. Give a zarr folder or zip file with data/* and meta/episode_ends.")
    with _opened_zip(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if not place.parts:
            raise InputError(f"{path.name}: has a member without a name ({member.filename!r}). Zip the store again.")
        if place.is_absolute() or ".." in place.parts or ":" in place.parts[0] or is_link:
            raise InputError(
                f"{path.name}: member {member.filename!r} leads outside the zip file's folder. Not opened."
            )
    sizes = {member.filename: member.file_size for member in members}
    if len(sizes) != len(members):
        raise InputError(f"{path.name}: has several members of the same name. Zip the store again.")
    return {key.removeprefix(prefix): size for key, size in sizes.items() if key.startswith(prefix)}


def _is_whole_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except ZIP_DAMAGE:  # Its end record refers to another file.
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[OpenFile]:
    """Yield a function that opens a file of the store; a damaged zip file raises an InputError."""
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
        if (
            isinstance(error, OSError) and error.errno != errno.EINVAL
        ):  # EINVAL: a seek to before the start of the file.
            raise
        raise InputError(f"{path.name}: {error}. The zip file is damaged or encrypted. Copy it again.") from error
