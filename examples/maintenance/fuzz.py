"""Coverage-guided fuzzing of what reads strangers' files, for as long as one likes.

    pip install atheris
    uv run python examples/maintenance/fuzz.py torch --seconds=600

Targets: `pickle`, the stack machine of `lerobot_sdm/safe_files/unpickling.py`; `torch`, whole files of torch.save, as
`import-checkpoint` opens them; `zarr`, zip files of demonstrations, as `convert` opens them. Whatever a file holds, the
answer must be data or an `InputError`, and nothing may be imported, started, compiled or written on the way. The first
file for which that is not so is kept below `--output`, and the status is not 0.
"""

import argparse
import codecs
import contextlib
import io
import os
import pickle
import sys
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from lerobot_sdm.errors import InputError

FORBIDDEN = (
    "import",
    "exec",
    "compile",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "socket",
)
"""Audit events that no file may cause, by how they begin."""
MAX_BYTES = 4096
"""Of an input: what is wrong with a reader shows in small files, which are tried more often."""

INSTRUMENTED = (
    "zipfile",
    "pickletools",
    "lerobot_sdm.safe_files",
    "lerobot_sdm.checkpoints",
    "lerobot_sdm.datasets",
)
"""Modules that are imported anew, so that the fuzzer learns which of their lines an input reaches."""

_watched = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: refuse what must not happen, while a file is read."""
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if _watched and (writes or event.startswith(FORBIDDEN)):
        raise AssertionError(f"reading the file caused {event}{arguments[:2]}")


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Read a file: data or an InputError."""
    global _watched
    _watched = True
    try:
        yield
    except InputError:
        pass
    finally:
        _watched = False


def read_pickle(data: bytes) -> None:
    from lerobot_sdm.safe_files.unpickling import inert, load

    with watched():
        load(data, inert("collections.OrderedDict", "builtins.set"), source="x", persistent_load=lambda identity: None)


def read_torch(data: bytes) -> None:
    from lerobot_sdm.safe_files.torch_archive import TensorEntry, TorchArchive

    path = as_file(data)
    with watched(), TorchArchive(path) as archive:
        structure = archive.structure({})
        for entry in structure.values() if isinstance(structure, dict) else ():
            if isinstance(entry, TensorEntry):
                archive.read(entry)


def read_zarr(data: bytes) -> None:
    from lerobot_sdm.datasets.convert.safety import list_files, opened

    path = as_file(data)
    with watched():
        files = list_files(path, "")
        with opened(path) as open_file:
            for key in files:
                with open_file(key) as file:
                    file.read()


def as_file(data: bytes) -> Path:
    """A file with these bytes, the same one every time."""
    path = Path(tempfile.gettempdir()) / f"fuzzed-{os.getpid()}.zip"
    path.write_bytes(data)
    return path


def pickle_seeds() -> Iterator[bytes]:
    value = OrderedDict(a=[1, 2.5, None, True], b=("x", b"y", {"k": {1, 2}}))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.dumps(value, protocol=protocol)
        yield pickle.dumps(OrderedDict, protocol=protocol)


def torch_seeds() -> Iterator[bytes]:
    for value in ({"w": torch.zeros(2, 3), "b": torch.ones(2, dtype=torch.int64).T}, {"n": 1, "s": "x"}):
        file = io.BytesIO()
        torch.save(value, file)
        yield file.getvalue()


def zarr_seeds() -> Iterator[bytes]:
    for zarr_format in (2, 3):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "store.zip"
            store = zarr.storage.ZipStore(path, mode="w")
            group = zarr.create_group(store, zarr_format=zarr_format)
            group.create_array("data/action", data=np.zeros((4, 2), np.float32), chunks=(2, 2))
            group.create_array("meta/episode_ends", data=np.array([4]))
            store.close()
            yield path.read_bytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data/action", b"1234")
    yield file.getvalue()


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterator[bytes]]]] = {
    "pickle": (read_pickle, pickle_seeds),
    "torch": (read_torch, torch_seeds),
    "zarr": (read_zarr, zarr_seeds),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("outputs/fuzz"))
    options = parser.parse_args()
    import atheris

    read, seeds = TARGETS[options.target]
    corpus = options.output / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    for name in [name for name in sys.modules if name.startswith(INSTRUMENTED)]:
        del sys.modules[name]
    with atheris.instrument_imports(include=["zipfile", "pickletools", "lerobot_sdm"]):
        for seed in seeds():
            read(seed)  # Imports what it needs, unwatched as yet.
    codecs.lookup("cp437")  # Python imports it for names in zip files that are not UTF-8.
    sys.addaudithook(watch)
    arguments = (f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-max_len={MAX_BYTES}")
    atheris.Setup([sys.argv[0], *arguments, f"-artifact_prefix={options.output}/{options.target}-", str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
