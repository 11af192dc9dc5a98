"""Where a teacher lies: its files in a folder or on the Hub, and the hash by which it is known.

The same for any policy that another one is made from; `role` says what it is there ("teacher", "base", ...), and so
which option, `--policy.ROLE_path`, names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from lerobot.configs.policies import PreTrainedConfig
from lerobot.utils.constants import POLICY_POSTPROCESSOR_DEFAULT_NAME, POLICY_PREPROCESSOR_DEFAULT_NAME

from lerobot_sdm.errors import InputError
from lerobot_sdm.json_files import read_object
from lerobot_sdm.plugin import register_all
from lerobot_sdm.teachers.adapters import ADAPTERS

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PROCESSOR_FILES = tuple(
    f"{name}.json" for name in (POLICY_PREPROCESSOR_DEFAULT_NAME, POLICY_POSTPROCESSOR_DEFAULT_NAME)
)


def teacher_file(path: str, name: str, revision: str | None = None, role: str = "teacher") -> Path:
    """Local path of one file of a teacher.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a Hub repo id.
        name: File name inside it.
        revision: Hub revision.
        role: What the policy there is to the other.

    Raises:
        InputError: There is no such folder, repo or file.
    """
    folder = Path(path)
    if folder.is_dir():
        if (folder / name).is_file():
            return folder / name
        inside = sorted(folder.glob(f"**/pretrained_model/{name}"))
        hint = f" Did you mean {inside[-1].parent}?" if inside else ""
        raise InputError(f"--policy.{role}_path={path}: the folder holds no {name}, so it is no policy.{hint}")
    try:
        return Path(hf_hub_download(path, name, revision=revision))
    except (HFValidationError, HfHubHTTPError, EntryNotFoundError, OSError) as error:
        raise InputError(
            f"--policy.{role}_path={path}: neither a folder with a policy nor a repo on the Hub that can be "
            f"reached ({type(error).__name__})."
        ) from error


def read_teacher_config(
    path: str, revision: str | None = None, kinds: Collection[str] = tuple(ADAPTERS), role: str = "teacher"
) -> PreTrainedConfig:
    """Configuration of a teacher, without its weights.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a Hub repo id.
        revision: Hub revision.
        kinds: Policy types that it may be of.
        role: What the policy there is to the other.

    Raises:
        InputError: Not a policy, of another type, or without the processors that the other policy needs, or with some
            that are not to be used.
    """
    file = teacher_file(path, CONFIG_FILE, revision, role)
    kind = read_object(file, str(file)).get("type")
    if kind not in kinds:
        raise InputError(
            f"--policy.{role}_path={path}: is of type '{kind}'; a {role} has to be of type {', '.join(kinds)}."
        )
    for name in PROCESSOR_FILES:
        try:
            teacher_file(path, name, revision, role)
        except InputError as error:
            raise InputError(
                f"--policy.{role}_path={path}: holds no {name}, by which this policy normalises as its {role} does. "
                "A checkpoint of LeRobot before 0.4 gets one from `python -m "
                "lerobot.processor.migrate_policy_normalization --pretrained-path NAME`."
            ) from error
    from lerobot_sdm.policies.pipelines import check_pipelines

    register_all()
    check_pipelines(path, revision)
    return PreTrainedConfig.from_pretrained(file.parent)


def fingerprint(path: str, revision: str | None = None, role: str = "teacher") -> str:
    """SHA-256 of a teacher's weights, by which a resumed run knows that it has the same teacher."""
    with teacher_file(path, WEIGHTS_FILE, revision, role).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_same_teacher(path: str, found: str, known: str | None, role: str = "teacher") -> None:
    """Refuse to go on with another teacher than a run began with.

    Args:
        path: Where the teacher was looked for.
        found: `fingerprint` of what is there.
        known: That of the run's teacher; None for a run that begins.
        role: What the policy there is to the other.

    Raises:
        InputError: They differ.
    """
    if known not in (None, found):
        raise InputError(
            f"--policy.{role}_path={path}: this run began with another {role} (SHA-256 {known[:12]}..., now "
            f"{found[:12]}...). Put that one back, or start a new run."
        )
