"""Exports of the saved checkpoints, and observations for them."""

from pathlib import Path

import numpy as np
from lerobot_commands import REPO_ID
from saved_checkpoints import observation

from lerobot_sdm.export.write import Export
from lerobot_sdm.policies.policy_spec import PolicySpec

PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
TOLERANCES = {"float32": 1e-3, "int8": 0.6}
"""The second is that of networks with eight channels after three training steps, which rounding changes a lot."""
EXAMPLE = {key: value[0].numpy() for key, value in observation(0, 1).items()}


def order(dataset: Path, output: Path, policy: str = "sdm", **settings) -> Export:
    given = {
        "format": "onnx",
        "precision": "float32",
        "points": "fixed",
        "observations": 6,
        "calibration": 20,
        "samples": 4,
        "tolerance": None,
        "seed": 3,
    }
    spec = PolicySpec.parse(policy)
    return Export(policy=spec, output=output, repo_id=REPO_ID, root=dataset, **(given | settings))


def changed(**values) -> dict:
    return {**EXAMPLE, **{f"observation.{key}": value for key, value in values.items()}}


def with_nan(value: np.ndarray) -> np.ndarray:
    value = value.copy()
    value.flat[4] = np.nan
    return value
