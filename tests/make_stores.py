"""Small zarr demonstration stores that tests write for themselves."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr

LENGTHS = (4, 1, 7)


def write_store(
    path: Path,
    arrays: dict[str, np.ndarray],
    ends: list[int] | np.ndarray,
    zarr_format: int = 2,
    chunk_rows: int = 5,
    **options: Any,
) -> Path:
    """Write `data/*` and `meta/episode_ends`; a path that ends in `.zip` becomes a zip file.

    Args:
        path: What to create.
        arrays: Name below `data/` -> (T, ...).
        ends: The row after the last one of each episode.
        zarr_format: 2 or 3.
        chunk_rows: Rows in a chunk.
        options: Further arguments of zarr's `create_array`.
    """
    folder = path.with_suffix(".unzipped") if path.suffix == ".zip" else path
    root = zarr.create_group(folder, zarr_format=zarr_format)
    for name, values in ({"meta/episode_ends": np.asarray(ends)} | {f"data/{k}": v for k, v in arrays.items()}).items():
        chunks = (chunk_rows, *values.shape[1:])
        root.create_array(name, data=values, chunks=chunks, config={"write_empty_chunks": True}, **options)
    if folder != path:
        zip_store(folder, path)
    return path


def zip_store(folder: Path, path: Path, prefix: str = "") -> Path:
    """Pack a store's folder into a zip file, below `prefix`."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def demonstrations(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Arrays of a small DP3-like store, and the ends of its episodes."""
    rng = np.random.default_rng(seed)
    total = sum(lengths)
    cloud = rng.standard_normal((total, 70, 6)).astype(np.float32)
    cloud[..., 3:] = rng.integers(0, 256, (total, 70, 3))
    cloud[:, 60:] = 0
    arrays = {
        "action": rng.standard_normal((total, 4)).astype(np.float32),
        "state": rng.standard_normal((total, 9)).astype(np.float32),
        "full_state": rng.standard_normal((total, 20)).astype(np.float32),
        "point_cloud": cloud,
        "img": rng.integers(0, 256, (total, 12, 10, 3), dtype=np.uint8),
        "depth": rng.uniform(0.5, 3, (total, 12, 10)).astype(np.float32),
    }
    return arrays, np.cumsum(lengths)


def stored_columns(root: Path) -> dict[str, Any]:
    """Every column of a dataset exactly as its data files hold it, by way of pyarrow alone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables([pq.read_table(path) for path in sorted((root / "data").glob("*/*.parquet"))])
    return {key: table.column(key).to_pylist() for key in table.column_names}
