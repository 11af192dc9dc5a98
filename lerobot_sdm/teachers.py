"""Teachers of the one-step students: how they are found, checked, loaded and identified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from lerobot.configs.policies import PreTrainedConfig

from lerobot_sdm.errors import InputError

if TYPE_CHECKING:
    from lerobot_sdm.policies.dp3.configuration_dp3 import DP3Config
    from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy

TEACHER_TYPES = ("dp3",)
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def teacher_file(path: str, name: str, revision: str | None = None) -> Path:
    """Local path of one file of a teacher.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a Hub repo id.
        name: File name inside it.
        revision: Hub revision.

    Raises:
        InputError: There is no such folder, repo or file.
    """
    folder = Path(path)
    if folder.is_dir():
        if (folder / name).is_file():
            return folder / name
        inside = sorted(folder.glob(f"**/pretrained_model/{name}"))
        hint = f" Did you mean {inside[-1].parent}?" if inside else ""
        raise InputError(f"--policy.teacher_path={path}: the folder holds no {name}, so it is no policy.{hint}")
    try:
        return Path(hf_hub_download(path, name, revision=revision))
    except (HFValidationError, HfHubHTTPError, EntryNotFoundError, OSError) as error:
        raise InputError(
            f"--policy.teacher_path={path}: neither a folder with a policy nor a repo on the Hub that can be "
            f"reached ({type(error).__name__})."
        ) from error


def read_teacher_config(path: str, revision: str | None = None) -> DP3Config:
    """Configuration of a teacher, without its weights.

    Raises:
        InputError: Not a policy, or of a type that cannot be distilled.
    """
    file = teacher_file(path, CONFIG_FILE, revision)
    kind = json.loads(file.read_text()).get("type")
    if kind not in TEACHER_TYPES:
        raise InputError(
            f"--policy.teacher_path={path}: is of type '{kind}'; teachers can be of type {', '.join(TEACHER_TYPES)}."
        )
    config = PreTrainedConfig.from_pretrained(file.parent)
    return config


def fingerprint(path: str, revision: str | None = None) -> str:
    """SHA-256 of a teacher's weights, by which a resumed run knows that it has the same teacher."""
    with teacher_file(path, WEIGHTS_FILE, revision).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_teacher(path: str, device: str, revision: str | None = None) -> DP3Policy:
    """The teacher with its inference weights, frozen, on a device."""
    from lerobot_sdm.policies.dp3.modeling_dp3 import DP3Policy

    config = read_teacher_config(path, revision)
    config.device = device
    teacher = DP3Policy.from_pretrained(teacher_file(path, WEIGHTS_FILE, revision).parent, config=config)
    return teacher.requires_grad_(False).eval()


def check_same_features(path: str, teacher: dict[str, Any], student: dict[str, Any]) -> None:
    """Refuse a data set that the teacher does not fit.

    Args:
        path: The teacher's path, for the message.
        teacher: The teacher's features, input and output together.
        student: The student's, as they come from the data set and are kept by `validate_features`.

    Raises:
        InputError: Names the first feature that differs.
    """
    for key in sorted(teacher.keys() | student.keys()):
        mine, theirs = student.get(key), teacher.get(key)
        if mine is None or theirs is None:
            raise InputError(
                f"--policy.teacher_path={path}: '{key}' is a feature of "
                f"{'the teacher, not of this data set' if mine is None else 'this data set, not of the teacher'}."
            )
        # The number of points may differ: the encoder takes the maximum over points.
        cloud = key.endswith("point_cloud")
        if (mine.shape[1:] if cloud else mine.shape) != (theirs.shape[1:] if cloud else theirs.shape):
            raise InputError(
                f"--policy.teacher_path={path}: '{key}' has shape {tuple(theirs.shape)} for the teacher and "
                f"{tuple(mine.shape)} in this data set."
            )
