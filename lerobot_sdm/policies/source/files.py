"""The files of a saved policy, in a folder or on the Hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from lerobot.utils.constants import POLICY_POSTPROCESSOR_DEFAULT_NAME, POLICY_PREPROCESSOR_DEFAULT_NAME

from lerobot_sdm.errors import InputError
from lerobot_sdm.files import sha256

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PROCESSOR_FILES = tuple(
    f"{name}.json" for name in (POLICY_PREPROCESSOR_DEFAULT_NAME, POLICY_POSTPROCESSOR_DEFAULT_NAME)
)


def policy_file(path: str, name: str, revision: str | None = None, option: str = "--policy.path") -> Path:
    """Find a file of a policy in a checkpoint's `pretrained_model` folder or a Hub repo, downloading it if needed, and
    return its local path. Messages begin with the option that names the policy.

    Raises:
        InputError: The folder, repo or file does not exist.
    """
    folder = Path(path)
    if folder.is_dir():
        if (folder / name).is_file():
            return folder / name
        inside = sorted(folder.glob(f"**/pretrained_model/{name}"))
        hint = f" Did you mean {inside[-1].parent}?" if inside else ""
        raise InputError(f"{option}={path}: the folder holds no {name}, so it is not a policy.{hint}")
    try:
        return Path(hf_hub_download(path, name, revision=revision))
    except (HFValidationError, HfHubHTTPError, EntryNotFoundError, OSError) as error:
        raise InputError(
            f"{option}={path}: neither a folder with a policy nor a reachable Hub repo ({type(error).__name__})."
        ) from error


def fingerprint(path: str, revision: str | None = None, option: str = "--policy.path") -> str:
    """SHA-256 of a policy's weights; see `policy_file` for the arguments."""
    return sha256(policy_file(path, WEIGHTS_FILE, revision, option))
