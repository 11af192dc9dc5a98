"""Lets LeRobot's dataset tools edit datasets with matrix columns, such as clouds.

LeRobot deletes, splits, merges and relabels episodes by way of pandas. Its matrix columns are then extension arrays of
the `datasets` library, three methods of which fail (datasets 4.8): types are compared by the letters of "value_type",
columns of different lengths are joined into an array of arrays, and there is no way back to Arrow. With these three
mended, LeRobot's tools work as they stand, and the files have the layout that they had before.
"""

from types import ModuleType
from typing import Any

import numpy as np

from lerobot_sdm.datasets.import_hook import when_imported

FEATURES = "datasets.features.features"


def install(features: ModuleType) -> None:
    """Mend the pandas side of `datasets`' matrix columns; a method that a later version has is left alone."""
    import pyarrow as pa

    array_class, dtype_class = features.PandasArrayExtensionArray, features.PandasArrayExtensionDtype
    types = {kind.ndims: kind for kind in features._ArrayXDExtensionType.__subclasses__()}
    if dtype_class._metadata == "value_type":
        dtype_class._metadata = ("value_type",)
    if not hasattr(array_class, "__arrow_array__"):

        def to_arrow(self: Any, type: Any = None) -> pa.ExtensionArray:
            """Rows (F, ...) of one shape each as the extension type that they came from."""
            rows = self._data
            name = features._arrow_to_datasets_dtype(pa.from_numpy_dtype(rows.dtype))
            kind = types[rows.ndim - 1](rows.shape[1:], name)
            return pa.ExtensionArray.from_storage(kind, features.numpy_to_pyarrow_listarray(rows))

        array_class.__arrow_array__ = to_arrow
    concatenate = array_class._concat_same_type.__func__

    def concatenate_rows(cls: type, parts: Any) -> Any:
        """Columns (F_i, ...) one after the other; the original stacks them where all F_i are the same, and else not."""
        arrays = [part._data for part in parts]
        if len({(array.shape[1:], array.dtype) for array in arrays}) == 1 and arrays[0].ndim > 1:
            return cls(np.concatenate(arrays))
        return concatenate(cls, parts)

    array_class._concat_same_type = classmethod(concatenate_rows)


def register() -> None:
    """Install as soon as `datasets` is imported, which LeRobot's datasets do."""
    when_imported(FEATURES, install)
