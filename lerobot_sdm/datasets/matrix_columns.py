"""Lets LeRobot's dataset tools edit datasets with matrix columns, such as clouds.

LeRobot deletes, splits, merges, and relabels episodes with pandas. There, matrix columns are extension arrays of the
`datasets` library, which has three bugs (datasets 4.8): it compares types by the letters of "value_type", joins columns
of different lengths into an array of arrays, and cannot convert back to Arrow. With these three fixed, LeRobot's tools
work unchanged, and the files keep their layout.
"""

from types import ModuleType
from typing import Any

import numpy as np

from lerobot_sdm.datasets.import_hook import when_imported
from lerobot_sdm.lerobot_internals import patch

FEATURES = "datasets.features.features"


def install(features: ModuleType) -> None:
    """Patch the pandas methods of `datasets`' matrix columns, except those that a later version already has."""
    import pyarrow as pa

    array_class, dtype_class = features.PandasArrayExtensionArray, features.PandasArrayExtensionDtype
    types = {kind.ndims: kind for kind in features._ArrayXDExtensionType.__subclasses__()}
    if dtype_class._metadata == "value_type":
        patch(dtype_class, "_metadata", ("value_type",))
    if not hasattr(array_class, "__arrow_array__"):

        def to_arrow(self: Any, type: Any = None) -> pa.ExtensionArray:
            """Rows (F, ...) of equal shape, as the extension type they came from."""
            rows = self._data
            name = features._arrow_to_datasets_dtype(pa.from_numpy_dtype(rows.dtype))
            kind = types[rows.ndim - 1](rows.shape[1:], name)
            return pa.ExtensionArray.from_storage(kind, features.numpy_to_pyarrow_listarray(rows))

        patch(array_class, "__arrow_array__", to_arrow, new=True)
    concatenate = array_class._concat_same_type.__func__

    def concatenate_rows(cls: type, parts: Any) -> Any:
        """Concatenate columns (F_i, ...); the original stacks them if all F_i are equal, and fails otherwise."""
        arrays = [part._data for part in parts]
        if len({(array.shape[1:], array.dtype) for array in arrays}) == 1 and arrays[0].ndim > 1:
            return cls(np.concatenate(arrays))
        return concatenate(cls, parts)

    patch(array_class, "_concat_same_type", classmethod(concatenate_rows))


def register() -> None:
    """Install as soon as `datasets` is imported, which LeRobot's datasets module does."""
    when_imported(FEATURES, install)
