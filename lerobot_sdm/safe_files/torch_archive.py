"""Reads files of `torch.save` without torch's unpickler: first the structure, then single tensors on demand.

Such a file is a zip archive with a pickle, in which each tensor is a view of a storage, and one uncompressed file of
bytes per storage, so that sizes are known before reading.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.unpickling import Allowed, Global, Record, inert, load
from lerobot_sdm.safe_files.zip_files import ZIP_DAMAGE

STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


@dataclass(frozen=True)
class Storage:
    """A flat array of `numel` numbers in the archive, in the file named `key`."""

    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True)
class TensorEntry:
    """A tensor that has not been read yet: a view of a storage from the number `offset` on, with a step per axis."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class TorchArchive:
    """An opened file of `torch.save`; a context manager.

    Raises:
        InputError: It is not a complete archive of this kind.
    """

    def __init__(self, path: Path):
        self.path, self.source = path, path.name
        try:
            self._zip = zipfile.ZipFile(path)
        except ZIP_DAMAGE as error:
            raise InputError(
                f"{self.source}: not a complete file of torch.save ({error}). If it is truncated, download or copy it "
                "again. If PyTorch before 1.6 wrote it, load and save it once with a newer PyTorch."
            ) from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
        try:
            self._prefix = self._find_prefix()
        except InputError:
            self._zip.close()
            raise

    def _find_prefix(self) -> str:
        members = self._zip.infolist()
        pickles = [info.filename for info in members if info.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError(f"{self.source}: is a zip archive, but not one of torch.save (no single data.pkl in it).")
        if any(info.compress_type != zipfile.ZIP_STORED for info in members):
            raise InputError(f"{self.source}: contains compressed members, which torch.save never writes; refused.")
        return pickles[0].removesuffix("data.pkl")

    def __enter__(self) -> TorchArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def structure(self, allowed: Allowed) -> Any:
        """The saved object, with a `TensorEntry` for each tensor.

        Args:
            allowed: Names that the pickle may use in addition to those of tensors.

        Raises:
            InputError: See `unpickling.load`; or a tensor does not fit its storage.
        """
        if self._read("byteorder", optional=True) not in (None, b"little"):
            raise InputError(f"{self.source}: was written on a big-endian machine, which is not supported.")
        tensors: dict[tuple[str, str], Callable[..., Any]] = {
            **inert(*(f"torch.{name}" for name in STORAGE_TYPES), "torch.device", "torch.Size"),
            **inert("collections.OrderedDict"),
            ("torch._utils", "_rebuild_tensor_v2"): self._rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        data = self._read("data.pkl") or b""
        return load(data, {**tensors, **allowed}, source=self.source, persistent_load=self._storage)

    def read(self, entry: TensorEntry) -> Tensor:
        """Read a tensor into its own memory.

        Raises:
            InputError: Its storage is missing or corrupt.
        """
        storage = entry.storage
        data = self._read(f"data/{storage.key}", size=storage.numel * storage.dtype.itemsize)
        if not data:
            return torch.empty(entry.shape, dtype=storage.dtype)
        flat = torch.frombuffer(bytearray(data), dtype=storage.dtype)
        return flat.as_strided(entry.shape, entry.stride, entry.offset).contiguous()

    def _storage(self, identity: Any) -> Storage:
        """The storage of a persistent id: ("storage", torch.FloatStorage, key, device, numel)."""
        match identity:
            case ("storage", Global("torch", kind), str(key), str(), int(n)) if kind in STORAGE_TYPES and n >= 0:
                return Storage(key, STORAGE_TYPES[kind], n)
        raise InputError(f"{self.source}: names a storage in a way that torch.save does not; refused.")

    def _rebuild_tensor(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorEntry:
        """A tensor that stays inside its storage and has no more numbers than it; otherwise a tiny malicious file
        could expand one number to terabytes."""
        fits = (
            isinstance(storage, Storage)
            and all(isinstance(values, tuple) for values in (shape, stride))
            and all(isinstance(n, int) and n >= 0 for n in (offset, *shape, *stride))
            and len(shape) == len(stride)
            and prod(shape) <= storage.numel
        )
        if fits and prod(shape) > 0:
            fits = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) < storage.numel
        if not fits:
            raise InputError(f"{self.source}: contains a tensor that reaches beyond its storage; refused.")
        return TensorEntry(storage, offset, shape, stride)

    def _read(self, name: str, size: int | None = None, optional: bool = False) -> bytes | None:
        """Content of a member; its length must be `size`, if given."""
        try:
            info = self._zip.getinfo(self._prefix + name)
            if size is not None and info.file_size != size:
                raise InputError(f"{self.source}: '{name}' has {info.file_size} bytes, not {size}. Copy it again.")
            return self._zip.read(info)
        except KeyError as error:
            if optional:
                return None
            raise InputError(f"{self.source}: '{name}' is missing in it. Copy the file again.") from error
        except (*ZIP_DAMAGE, OSError) as error:
            raise InputError(f"{self.source}: '{name}' in it is corrupt ({error}). Copy the file again.") from error


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    """Treat a parameter as its tensor."""
    return data if isinstance(data, TensorEntry) else Record("torch._utils._rebuild_parameter")
