"""Coverage-guided fuzzing of what reads strangers' files, for as long as one likes.

    pip install atheris
    uv run python examples/maintenance/fuzz.py torch --seconds=600

Targets: `pickle`, the stack machine of `lerobot_sdm/safe_files/unpickling.py`; `torch`, whole files of torch.save, as
`import-checkpoint` opens them; `zarr`, zip files of demonstrations, as `convert` opens them; `pipeline`, the JSON of a
policy's processors, which is checked before LeRobot builds them; `info`, `stats` and `episodes`, files of a LeRobot
dataset, as training checks them before LeRobot reads them. Whatever a file holds, the answer must be data or an
`InputError`, and nothing may be imported, started, compiled or written on the way. The first file for which that is not
so is kept below `--output`, and the status is not 0.
"""

import argparse
import codecs
import contextlib
import functools
import io
import json
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
import pyarrow as pa
import pyarrow.parquet as pq
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
    "lerobot_sdm.policies.pipelines",
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


def read_pipeline(data: bytes) -> None:
    from lerobot_sdm.policies.pipelines import check_pipelines

    folder = as_file(data, "policy_preprocessor.json").parent
    with watched():
        check_pipelines(str(folder))


def read_dataset(name: str, data: bytes) -> None:
    """One file of a dataset replaced by these bytes."""
    from lerobot.datasets.io_utils import load_info

    from lerobot_sdm.datasets.damage import check_dataset

    for other, content in dataset_files().items():
        root = as_file(data if other == name else content, f"dataset/{other}").parents[other.count("/")]
    with watched():
        check_dataset(root)
        info = load_info(root)
        info.data_path.format(chunk_index=0, file_index=0)


def as_file(data: bytes, name: str = "store.zip") -> Path:
    """A file with these bytes, the same one every time, in a folder of its own."""
    path = Path(tempfile.gettempdir()) / f"fuzzed-{os.getpid()}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
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


def pipeline_seeds() -> Iterator[bytes]:
    cloud = {"type": "STATE", "shape": [8, 3]}
    normalizer = {"eps": 1e-8, "features": {"observation.point_cloud": cloud}, "norm_map": {"STATE": "MIN_MAX"}}
    steps = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
        {"registry_name": "to_batch_processor", "config": {}},
        {"registry_name": "point_cloud_processor", "config": {"channels": 3}},
        {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}},
        {"registry_name": "normalizer_processor", "config": normalizer},
    ]
    yield json.dumps({"name": "policy_preprocessor", "steps": steps}).encode()
    steps[-1]["state_file"] = "state.safetensors"
    yield json.dumps({"name": "policy_preprocessor", "steps": [{"class": "os.system", "config": {}}, *steps]}).encode()


@functools.cache
def dataset_files() -> dict[str, bytes]:
    """The files below `meta/` of a dataset of two episodes."""
    cloud = {"dtype": "float32", "shape": [8, 3], "names": None}
    action = {"dtype": "float32", "shape": [4], "names": ["a", "b", "c", "d"]}
    counts = {"total_episodes": 2, "total_frames": 20, "total_tasks": 1}
    paths = {"data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet", "video_path": None}
    features = {"observation.point_cloud": cloud, "action": action}
    info = {"codebase_version": "v3.0", "fps": 10, "features": features, "splits": {"train": "0:2"}} | counts | paths
    stats = {"action": {"min": [0.0] * 4, "max": [1.0] * 4, "count": [20]}}
    episodes = {"dataset_from_index": [0, 10], "dataset_to_index": [10, 20]}
    episodes |= {"data/chunk_index": [0, 0], "data/file_index": [0, 0]}
    return {
        "meta/info.json": json.dumps(info).encode(),
        "meta/stats.json": json.dumps(stats).encode(),
        "meta/tasks.parquet": as_parquet({"task_index": [0], "task": ["x"]}),
        "meta/episodes/chunk-000/file-000.parquet": as_parquet(episodes),
    }


def as_parquet(columns: dict[str, list]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def in_dataset(name: str) -> tuple[Callable[[bytes], None], Callable[[], Iterator[bytes]]]:
    """Reader and seeds of one file of a dataset."""
    return functools.partial(read_dataset, name), lambda: iter([dataset_files()[name]])


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterator[bytes]]]] = {
    "pickle": (read_pickle, pickle_seeds),
    "torch": (read_torch, torch_seeds),
    "zarr": (read_zarr, zarr_seeds),
    "pipeline": (read_pipeline, pipeline_seeds),
    "info": in_dataset("meta/info.json"),
    "stats": in_dataset("meta/stats.json"),
    "episodes": in_dataset("meta/episodes/chunk-000/file-000.parquet"),
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
    arguments = (f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-max_len={MAX_BYTES}", "-timeout=60")
    atheris.Setup([sys.argv[0], *arguments, f"-artifact_prefix={options.output}/{options.target}-", str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
