"""A saved policy from which another one is trained: its files, configuration and weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from lerobot.configs.policies import PreTrainedConfig
from safetensors.torch import load_file
from torch import Tensor, nn

from lerobot_sdm.errors import InputError
from lerobot_sdm.policies import register
from lerobot_sdm.policies.pipelines import check_pipelines
from lerobot_sdm.policies.source.adapters import adapter_for
from lerobot_sdm.policies.source.description import configuration, describe
from lerobot_sdm.policies.source.files import CONFIG_FILE, PROCESSOR_FILES, WEIGHTS_FILE, fingerprint, policy_file
from lerobot_sdm.processors.sizes import check_sizes, shapes_of
from lerobot_sdm.safe_files.configurations import read_configuration
from lerobot_sdm.safe_files.json_files import read_object
from lerobot_sdm.safe_files.weights import load_strictly


@dataclass(frozen=True)
class SourcePolicy:
    """A saved policy from which another policy, or a reward model, is trained.

    Each file is read only once; create a new object if it may have changed.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a Hub repo id.
        revision: Hub revision.
        role: Its role for the policy trained from it, such as "teacher" or "base".
        option: Command-line option that names it; messages begin with it.
        kinds: Allowed policy types.
    """

    path: str
    revision: str | None = None
    role: str = "policy"
    option: str = "--policy.path"
    kinds: Collection[str] = ()

    @property
    def given(self) -> str:
        """The option as given by the user, `OPTION=VALUE`."""
        return f"{self.option}={self.path}"

    @property
    def owner(self) -> str:
        """Its name in messages."""
        return f"the {self.role} at {self.path}"

    def file(self, name: str) -> Path:
        """Local path of one of its files.

        Raises:
            InputError: The folder, repo or file does not exist.
        """
        return policy_file(self.path, name, self.revision, self.option)

    @cached_property
    def config(self) -> PreTrainedConfig:
        """Its configuration; shared, so do not modify it.

        Raises:
            InputError: It is not a policy, its type or a field is not allowed, or its processors are missing or unsafe.
        """
        file = self.file(CONFIG_FILE)
        kind = read_object(file, str(file)).get("type")
        if kind not in self.kinds:
            raise InputError(
                f"{self.given}: is of type '{kind}'; a {self.role} must be of type {', '.join(self.kinds)}."
            )
        for name in PROCESSOR_FILES:
            try:
                self.file(name)
            except InputError as error:
                raise InputError(
                    f"{self.given}: holds no {name}, by which this policy normalizes as its {self.role} does. A "
                    "checkpoint of LeRobot before 0.4 gets one from `python -m "
                    "lerobot.processor.migrate_policy_normalization --pretrained-path NAME`."
                ) from error
        register()
        check_pipelines(self.path, self.revision)
        return read_configuration(PreTrainedConfig, file.parent, self.given)

    @cached_property
    def sha256(self) -> str:
        """Hash of its weights, with which a resumed run checks that it has the same source."""
        return fingerprint(self.path, self.revision, self.option)

    def check_same(self, known: str | None) -> None:
        """Refuse to resume a run whose source had another hash than this; None for a new run.

        Raises:
            InputError: The hashes differ.
        """
        if known not in (None, self.sha256):
            raise InputError(
                f"{self.given}: this run began with another {self.role} (SHA-256 {known[:12]}..., now "
                f"{self.sha256[:12]}...). Restore that one, or start a new run."
            )

    def load(self, device: str) -> Any:
        """Load its encoder and denoiser with its inference weights, frozen, on a device.

        Raises:
            InputError: The weights do not fit its configuration.
        """
        config = configuration(describe(self.config), device)
        adapter = adapter_for(config.type)
        network: nn.Module = adapter.network(config)
        load_strictly(network, adapter.weights(self.file(WEIGHTS_FILE)), self.given)
        return network.requires_grad_(False).eval().to(device)

    def normalization(self) -> dict[str, Tensor]:
        """Its normalization statistics, such as `observation.state.min`."""
        steps = json.loads(self.file(PROCESSOR_FILES[0]).read_text())["steps"]
        files = [step["state_file"] for step in steps if "state_file" in step]
        return {key: value for name in files for key, value in load_file(self.file(name)).items()}


def copy_fields(config: Any, theirs: Any, names: Collection[str], owner: str, reason: str) -> None:
    """Copy the fields that must equal the source's from its configuration.

    Args:
        config: Modified in place.
        theirs: The source's configuration; if it lacks a field, the default is kept.
        names: Fields to copy. A field that was set to another value than the source's is an error; one whose default
            comes from a factory (a dictionary) is overwritten.
        owner: Name of the source in messages.
        reason: Why both must agree, the end of a sentence.

    Raises:
        InputError: A field contradicts the source; names it.
    """
    known = {item.name: item for item in fields(config)}
    for name in names:
        item, mine = known[name], getattr(config, name)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        value = getattr(theirs, name, default)
        if item.default_factory is MISSING and mine not in (default, {}, value):
            raise InputError(f"--policy.{name}={mine}: {owner} has {value}, and {reason}. Drop the option.")
        setattr(config, name, value)


def check_same_features(
    source: PreTrainedConfig, features: Mapping[str, Any], role: str, path: str | None = None
) -> None:
    """Refuse a dataset whose features differ from the source policy's.

    Args:
        source: The source's configuration, with its features.
        features: Input and output features of the policy trained from it, as they come from the dataset.
        role: Role of the source for that policy.
        path: Path of the source, for the message.

    Raises:
        InputError: A feature differs; names the first one.
    """
    known = {**source.input_features, **source.output_features}
    owner = f"the {role}" if path is None else f"the {role} at {path}"
    fix = f"Use a dataset of the robot that the {role} was trained on, or another {role}."
    check_sizes(shapes_of(features), shapes_of(known), "the dataset", owner, fix, complete=True, cut=False)
    extra = sorted(features.keys() - known.keys())
    if extra:
        raise InputError(
            f"'{extra[0]}' is in the dataset but unknown to {owner}, and both need the same features. Exclude it with "
            "--policy.input_features."
        )
