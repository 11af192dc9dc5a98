"""Reads the structure of a checkpoint of the DP3 family: kind of policy, configuration, weights, progress.

The format is that of the released code of DP3, SDM-Policy and ManiCM: `{"cfg": ..., "state_dicts": {"model": ...,
"ema_model": ..., "optimizer": ...}, "pickles": {"epoch": ..., ...}}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lerobot_sdm.checkpoints.hydra_config import OMEGACONF_NAMES, HydraConfig
from lerobot_sdm.errors import InputError
from lerobot_sdm.safe_files.torch_archive import TensorEntry, TorchArchive
from lerobot_sdm.safe_files.unpickling import Record, inert, load

# The last one is how dill writes bytes below pickle protocol 3.
ALLOWED = OMEGACONF_NAMES | inert("_codecs.encode")

POLICY_CLASSES = {
    "diffusion_policy_3d.policy.dp3.DP3": "dp3",
    "diffusion_policy_3d.policy.simple_dp3.SimpleDP3": "simple_dp3",
}
WEIGHTS = {"ema": "ema_model", "raw": "model"}
STUDENTS = ("sdm", "manicm")

BLOCKS = {"dp3": 2, "simple_dp3": 1, "sdm": 2, "manicm": 2}
"""Residual blocks per level of the U-Net."""


@dataclass
class OriginalCheckpoint:
    """Contents of a checkpoint; the tensors are not read yet.

    Args:
        kind: "dp3", "simple_dp3", "sdm", or "manicm".
        state_dicts: Weight set ("ema" or "raw") -> tensor name -> entry.
        progress: Training progress: "epoch" and "global_step", if the file contains them.
    """

    source: str
    kind: str
    config: HydraConfig
    state_dicts: dict[str, dict[str, TensorEntry]]
    progress: dict[str, int]


def read_checkpoint(archive: TorchArchive) -> OriginalCheckpoint:
    """Read the structure of a checkpoint.

    Raises:
        InputError: It is not a checkpoint of the DP3 family, or its pickle uses names that none needs.
    """
    payload = archive.structure(ALLOWED)
    source = archive.source
    parts = ("cfg", "state_dicts", "pickles")
    if not isinstance(payload, dict) or any(part not in payload for part in parts):
        raise InputError(
            f"{source}: not a checkpoint of the DP3 family, which is a dictionary with {', '.join(parts)}."
        )
    config = HydraConfig(payload["cfg"], source)
    saved = _items(payload["state_dicts"])
    state_dicts = {weights: _tensors(source, name, saved[name]) for weights, name in WEIGHTS.items() if name in saved}
    if not state_dicts:
        raise InputError(f"{source}: has neither of the weight sets {', '.join(WEIGHTS.values())}.")
    return OriginalCheckpoint(source, _kind(config), config, state_dicts, _progress(source, _items(payload["pickles"])))


def _kind(config: HydraConfig) -> str:
    """The kind of policy.

    SDM and ManiCM train students of the unchanged DP3 class; their configurations differ in the optimizer of the
    generator and in the switch for one-step evaluation.
    """
    target = config.get("policy._target_", str)
    if target not in POLICY_CLASSES:
        raise InputError(
            f"{config.source}: policy._target_={target!r} is not of the DP3 family ({', '.join(POLICY_CLASSES)})."
        )
    kind = POLICY_CLASSES[target]
    if kind == "dp3" and config.get("optimizer_generator.lr", float, default=None) is not None:
        return "sdm"
    if kind == "dp3" and config.get("use_consistency_model", bool, default=False):
        return "manicm"
    return kind


def _items(value: Any) -> dict:
    """Entries of a dict or of the `Record` of an OrderedDict."""
    entries = value.entries if isinstance(value, Record) else value
    return entries if isinstance(entries, dict) else {}


def _tensors(source: str, name: str, value: Any) -> dict[str, TensorEntry]:
    entries = _items(value)
    for key, entry in entries.items():
        if not (isinstance(key, str) and isinstance(entry, TensorEntry)):
            raise InputError(f"{source}: state_dicts.{name} contains an entry that is not a named tensor; refused.")
    return entries


def _progress(source: str, pickles: dict) -> dict[str, int]:
    """Epoch and step, which are nested pickles. All nested pickles are checked, including unused ones."""
    numbers = {}
    for name, value in pickles.items():
        data = _bytes(value)
        if data is None:
            raise InputError(f"{source}: pickles.{name} is not a pickle; refused.")
        content = load(data, inert("pathlib.PosixPath", "pathlib.WindowsPath"), source=f"{source}: pickles.{name}")
        if name in ("epoch", "global_step") and isinstance(content, int):
            numbers[name] = content
    return numbers


def _bytes(value: Any) -> bytes | None:
    """Bytes, or the call of `_codecs.encode` that dill writes for bytes in old pickle protocols."""
    if isinstance(value, Record) and value.name == "_codecs.encode":
        match value.args:
            case (str(text), "latin1") if all(ord(character) < 256 for character in text):
                return text.encode("latin1")
    return value if isinstance(value, bytes) else None
