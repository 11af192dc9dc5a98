"""Opens a store for viewing, even if it cannot be converted as it is."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerobot_sdm.datasets.convert.columns import Column
from lerobot_sdm.datasets.convert.layouts import LAYOUTS, find_layout
from lerobot_sdm.datasets.convert.mapping import Choices, columns_of, complete, parse
from lerobot_sdm.datasets.convert.opening import open_source
from lerobot_sdm.datasets.convert.plan import Plan
from lerobot_sdm.datasets.convert.run import with_color_scale
from lerobot_sdm.datasets.convert.source import Store, checked_ends
from lerobot_sdm.errors import InputError

UNKNOWN_FPS = 10


def look_at(source: Path, fps: float | None) -> tuple[Plan, list[str]]:
    """Open a store for viewing, without arrays that cannot be read safely or do not belong to the episodes.

    Args:
        source: Folder or zip file.
        fps: Frames per second; None for the rate of the store's layout.

    Returns:
        A plan that is only for viewing, and sentences on arrays that are excluded or incomplete.

    Raises:
        InputError: It is not a store, its episodes are inconsistent, or no array is left.
    """
    left_out: dict[str, str] = {}
    store = open_source(source, left_out=left_out)
    files = store.files()
    store.check_data([], files, fill_missing=False)
    ends = store.episode_ends()
    rows = _rows(ends, [info.shape[0] for info in store.arrays.values()])
    notes = []
    for name, info in list(store.arrays.items()):
        try:
            absent = store.check_data([name], files, fill_missing=True)
        except InputError as error:
            left_out[name] = str(error)
            del store.arrays[name]
            continue
        if info.shape[0] != rows:
            left_out[name] = f"it has {info.shape[0]} rows, not {rows}."
            del store.arrays[name]
        elif absent:
            notes.append(f"data/{name}: {absent} chunks are missing and shown as the fill value.")
    layout = find_layout(store.layout, {name: info.shape[1:] for name, info in store.arrays.items()})
    columns = _columns(store, layout, left_out)
    if not columns:
        said = " ".join(f"data/{name}: {why}" for name, why in left_out.items())
        raise InputError(f"{source}: has no array that can be shown. {said}")
    ends = checked_ends(store, [name for column in columns for name in column.arrays])
    fps = fps or LAYOUTS[layout].fps or UNKNOWN_FPS
    plan = Plan(store, tuple(columns), ends, fps, task="", facts={"layout": layout})
    return plan, [*(f"data/{name} is excluded: {why}" for name, why in left_out.items()), *notes]


def _columns(store: Store, layout: str, left_out: dict[str, str]) -> list[Column]:
    """Columns for all arrays that can be shown."""
    entries = complete(parse(LAYOUTS[layout].mapping, store.arrays), store.arrays, store.optional)
    columns: list[Column] = []
    for key in dict.fromkeys(entry.key for entry in entries):
        group = [entry for entry in entries if entry.key == key]
        try:
            columns += with_color_scale(store, columns_of(group, store.arrays, Choices()), Choices())
        except InputError:
            # The original message advises options of `convert`.
            names = (entry.array for entry in group)
            left_out |= {name: f"frames of shape {store.arrays[name].shape[1:]} cannot be shown." for name in names}
    return columns


def _rows(ends: NDArray[np.int64], lengths: Sequence[int]) -> int:
    """Rows of the arrays that belong to the episodes; the most common length if none matches the ends."""
    last = int(ends[-1]) if len(ends) else 0
    return last if last in lengths else Counter(lengths).most_common(1)[0][0]
