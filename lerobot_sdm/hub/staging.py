"""Collects the files of a policy to upload: those for inference and its card, without private data."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from huggingface_hub.utils import HFValidationError, validate_repo_id
from safetensors import safe_open

from lerobot_sdm.cards.model_card import DEFAULT_LICENSE, CardFacts, Evaluation, Teacher, model_card
from lerobot_sdm.cards.privacy import CONFIG_FILE, ROLES, TRAIN_CONFIG_FILE, make_public, private_passages
from lerobot_sdm.cards.training_card import teacher_of
from lerobot_sdm.checkpoints.import_policy import IMPORT_FILE
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.source.files import PROCESSOR_FILES, WEIGHTS_FILE, fingerprint
from lerobot_sdm.safe_files.json_files import AGAIN, read_object


@dataclass(frozen=True)
class Order:
    """A policy to publish, and additional facts for its card.

    Args:
        folder: A checkpoint's `pretrained_model` folder, or an imported policy.
        repo_id: Target repo.
        teacher: The published teacher of a student, already checked; None if there is none.
        evaluations: Measurements.
        license: Overrides the license in the policy's configuration.
    """

    folder: Path
    repo_id: str
    teacher: Teacher | None = None
    evaluations: Sequence[Evaluation] = ()
    license: str | None = None


def read_policy_config(folder: Path) -> dict[str, Any]:
    """A policy folder's configuration.

    Raises:
        InputError: The folder does not contain a complete policy.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE, *PROCESSOR_FILES):
        if not (folder / name).is_file():
            inside = sorted(folder.glob(f"**/pretrained_model/{CONFIG_FILE}")) if folder.is_dir() else []
            hint = f" Did you mean {inside[-1].parent}?" if inside else ""
            raise InputError(f"{folder}: not a policy folder, because it has no {name}.{hint}")
    config = read_object(folder / CONFIG_FILE, str(folder / CONFIG_FILE))
    if "type" not in config:
        raise InputError(f"{folder / CONFIG_FILE}: has no 'type', so it is not the configuration of a policy.")
    return config


def trained_steps(folder: Path) -> int | None:
    """Number of training steps behind a checkpoint's weights; None if unknown.

    `train_config.json` has the number planned, which an earlier checkpoint has not reached.
    """
    done = _json(folder.resolve().parent / "training_state" / "training_step.json")
    return (done or _json(folder / TRAIN_CONFIG_FILE) or {}).get("step" if done else "steps")


def check_repo_id(repo_id: str, option: str = "--repo-id") -> None:
    """Raise an InputError, which names the option, for a name that the Hub would refuse."""
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise InputError(f"{option}={repo_id}: {error}") from error
    if repo_id.count("/") != 1 or repo_id.startswith("local/"):
        raise InputError(f"{option}={repo_id}: give the owner and the name on the Hub, such as me/drawer-open-sdm.")


def stage_policy(order: Order, target: Path) -> None:
    """Write the files that will be uploaded to an empty folder.

    Raises:
        InputError: The files contain private data.
    """
    config = read_policy_config(order.folder)
    for name in policy_files(order.folder):
        shutil.copyfile(order.folder / name, target / name)
    make_public(target)
    public = read_object(target / CONFIG_FILE, CONFIG_FILE)
    public["repo_id"] = order.repo_id
    # These names are unverified: their repos may not contain what the policy was made from.
    public |= {key: None for role in ROLES for key in (f"{role}_path", f"{role}_revision") if key in public}
    if order.teacher is not None:
        public |= {"teacher_path": order.teacher.repo_id, "teacher_revision": order.teacher.revision}
    (target / CONFIG_FILE).write_text(json.dumps(public, indent=4) + "\n")
    train = _json(target / TRAIN_CONFIG_FILE)
    if train is not None:
        train["policy"] = public
        (target / TRAIN_CONFIG_FILE).write_text(json.dumps(train, indent=4) + "\n")
    facts = CardFacts(
        repo_id=order.repo_id,
        policy=public,
        license=order.license or config.get("license") or DEFAULT_LICENSE,
        parameters=_parameters(target / WEIGHTS_FILE),
        weights_sha256=fingerprint(str(target)),
        train=train and train | {"steps": trained_steps(order.folder)},
        dataset=train.get("dataset") if train else None,
        imported=_json(target / IMPORT_FILE),
        teacher=order.teacher or teacher_of(public),
        evaluations=order.evaluations,
        tags=config.get("tags") or (),
    )
    model_card(facts).save(target / "README.md")
    refuse_private(target)


def refuse_private(folder: Path) -> None:
    """Raise an InputError that lists the first passages of private data, if there are any."""
    found = list(private_passages(folder))
    if found:
        listed = "; ".join(found[:5])
        raise InputError(f"not published, because the files contain private data: {listed}. Remove it and try again.")


def policy_files(folder: Path) -> list[str]:
    """Files for inference and on the policy's origin, without training state.

    Raises:
        InputError: A processor names a file outside the folder, or one that is missing.
    """
    pipelines = [file for name in PROCESSOR_FILES for file in _state_files(folder / name)]
    optional = [name for name in (TRAIN_CONFIG_FILE, IMPORT_FILE) if (folder / name).exists()]
    return [CONFIG_FILE, WEIGHTS_FILE, *PROCESSOR_FILES, *pipelines, *optional]


def _state_files(processor: Path) -> list[str]:
    """Names of the files beside a processor that hold the state of its steps."""
    steps = read_object(processor, str(processor)).get("steps", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise InputError(f"{processor}: 'steps' must be a list of objects. {AGAIN}")
    files = [step["state_file"] for step in steps if step.get("state_file")]
    for file in files:
        # A path could lead to any file, here and where the policy is downloaded to.
        if not isinstance(file, str) or PureWindowsPath(file).name != file or not (processor.parent / file).is_file():
            raise InputError(f"{processor}: state_file={file!r} is not the name of a file beside it. {AGAIN}")
    return files


def _parameters(weights: Path) -> int:
    """Number of parameters in a safetensors file."""
    with safe_open(weights, "numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  (no mapping)


def _json(path: Path) -> dict[str, Any] | None:
    return read_object(path, str(path)) if path.exists() else None
