"""Read the pickles that robot clients send, without running the programs that pickles can be."""

import io
import pickle
from typing import Any

from lerobot_sdm.errors import InputError

ARRAYS = {
    (f"numpy.{package}.{module}", name)
    for package in ("_core", "core")
    for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
} | {("numpy", "ndarray"), ("numpy", "dtype")}
"""What NumPy 1 and 2 name in pickled arrays and numbers."""

KNOWN = ARRAYS | {
    ("lerobot.async_inference.helpers", "RemotePolicyConfig"),
    ("lerobot.async_inference.helpers", "TimedObservation"),
    ("lerobot.configs.types", "FeatureType"),
    ("lerobot.configs.types", "PolicyFeature"),
    ("_codecs", "encode"),  # Bytes, in the protocols up to 2.
}
"""(module, name) of everything that LeRobot's robot client sends. None of them runs code of the sender's choice."""


class _MessageReader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in KNOWN:
            raise InputError(
                f"message: names '{module}.{name}', which LeRobot's robot client does not send. Nothing of it was "
                "called. Give observations as numbers, text and NumPy arrays."
            )
        return super().find_class(module, name)


def loads(data: bytes) -> Any:
    """Read a message, as `pickle.loads` does, but refuse what a robot client does not send.

    Raises:
        InputError: The message names anything else than LeRobot's messages and NumPy arrays.
    """
    return _MessageReader(io.BytesIO(data)).load()


dumps = pickle.dumps
"""Write an answer; this module stands in for `pickle` in LeRobot's server."""
