"""Removes private data of one machine from published files: paths, accounts, tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

CONFIG_FILE, TRAIN_CONFIG_FILE = "config.json", "train_config.json"

MACHINE_FIELDS = ("output_dir", "job_name", "wandb", "job", "checkpoint_path", "resume")
"""Top-level fields of LeRobot's training configuration that describe the machine, not the training."""

PRIVATE = {
    # After a word, a colon, or another slash, it is part of a URL or a repo id; after "<", a closing tag.
    "a folder of this machine": re.compile(r"(?<![\w:/.<])/(?:[\w.+@%-]+/)+[\w.+@%-]*|(?<!\w)~/[\w.-]+"),
    "a folder of this machine (Windows)": re.compile(r"\b[A-Za-z]:\\+[\w.-]+"),
    "an access token": re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
}
ROLES = ("teacher", "base", "reward")
"""Policies and models that a policy was made from; its configuration has their ROLE_path and ROLE_revision."""
TEXT_FILES = (".json", ".jsonl", ".md", ".yaml", ".yml", ".toml", ".txt", ".csv", ".log")


def hub_name(path: str | None) -> str | None:
    """A path if it can be a Hub repo (`name/repo`, and not a local folder), otherwise None."""
    if path is None or Path(path).exists():
        return None
    return path if re.fullmatch(r"[\w-]+/[\w.-]+", path) else None


def public_policy_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A policy's configuration without the paths of the machine that trained it.

    The hash of a teacher stays, so that anyone who has the teacher can recognize it.
    """
    public = dict(config)
    for role in ROLES:
        path, revision = f"{role}_path", f"{role}_revision"
        if path in public:
            public[path] = hub_name(public[path])
            if public[path] is None:
                public[revision] = None
    if "pretrained_path" in public:
        public["pretrained_path"] = hub_name(public["pretrained_path"])
    return _without_private_text(public)


def public_train_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A training configuration without the fields that describe the machine."""
    public = {key: value for key, value in config.items() if key not in MACHINE_FIELDS}
    if isinstance(public.get("dataset"), Mapping):
        public["dataset"] = {key: value for key, value in public["dataset"].items() if key != "root"}
    for part in ("policy", "reward_model"):
        if isinstance(public.get(part), Mapping):
            public[part] = public_policy_config(public[part])
    return _without_private_text(public)


def make_public(folder: Path) -> None:
    """Rewrite the configuration files of a staging folder (never of a checkpoint) that is about to be uploaded."""
    for name, public in ((CONFIG_FILE, public_policy_config), (TRAIN_CONFIG_FILE, public_train_config)):
        path = folder / name
        if path.exists():
            path.write_text(json.dumps(public(json.loads(path.read_text())), indent=4) + "\n")


def private_passages(folder: Path) -> Iterator[str]:
    """Private passages in the text files of a folder, each with file, line, and what it looks like."""
    for suffix in TEXT_FILES:
        for path in sorted(folder.rglob(f"*{suffix}")):
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                for meaning, private in PRIVATE.items():
                    if found := private.search(line):
                        shown = found[0] if "token" not in meaning else f"{found[0][:6]}..."
                        yield f"{path.relative_to(folder)}, line {number}: {shown} looks like {meaning}"


def without_folders(value: Any) -> Any:
    """The same value, JSON-compatible, with the last part of every path of this machine instead of the path: an asset
    folder's name, say. Other private strings become None."""
    return _without_private_text(value, instead=lambda text: PureWindowsPath(text).name)  # Splits at both slashes.


def _without_private_text(value: Any, instead: Callable[[str], str] | None = None) -> Any:
    """The same value, with None instead of every string with private data, unless `instead` makes it public."""
    if isinstance(value, Mapping):
        return {key: _without_private_text(item, instead) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_private_text(item, instead) for item in value]
    if isinstance(value, str) and any(private.search(value) for private in PRIVATE.values()):
        return None if instead is None else _without_private_text(instead(value))
    return value
