"""Whether two policies mean the same by the same normalised numbers."""

from __future__ import annotations

import json
from collections.abc import Collection

import torch
from safetensors.torch import load_file
from torch import Tensor

from lerobot_sdm.teachers.files import PROCESSOR_FILES, teacher_file

PREPROCESSOR = PROCESSOR_FILES[0]


def normalization_state(path: str, revision: str | None = None, role: str = "teacher") -> dict[str, Tensor]:
    """The numbers by which a saved policy or reward model normalises, such as `observation.state.min`.

    Args:
        path: Folder, or Hub repo.
        revision: Hub revision.
        role: What it is to the one that asks; see `teachers.files`.
    """
    steps = json.loads(teacher_file(path, PREPROCESSOR, revision, role).read_text())["steps"]
    files = [step["state_file"] for step in steps if "state_file" in step]
    return {key: value for name in files for key, value in load_file(teacher_file(path, name, revision, role)).items()}


def other_normalization(mine: dict[str, Tensor], theirs: dict[str, Tensor], features: Collection[str]) -> str | None:
    """The first of these features that is normalised by other numbers, or None.

    Args:
        mine: From `normalization_state`.
        theirs: Likewise.
        features: Such as `observation.state`.
    """
    for feature in features:
        keys = [key for key in sorted(mine.keys() | theirs.keys()) if key.rpartition(".")[0] == feature]
        if any(key not in mine or key not in theirs or not torch.equal(mine[key], theirs[key]) for key in keys):
            return feature
    return None
