"""A saved policy that another one is made from: its files, its configuration, its weights."""

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
from lerobot_sdm.policies.source.adapters import adapter_for
from lerobot_sdm.policies.source.description import configuration, describe
from lerobot_sdm.policies.source.files import CONFIG_FILE, PROCESSOR_FILES, WEIGHTS_FILE, fingerprint, policy_file
from lerobot_sdm.processors.sizes import check_sizes, shapes_of
from lerobot_sdm.safe_files.json_files import read_object
from lerobot_sdm.safe_files.weights import load_strictly


@dataclass(frozen=True)
class SourcePolicy:
    """A saved policy that another policy, or a reward model, is made from.

    Each file is read once; make a new object where it may have changed.

    Args:
        path: A checkpoint's `pretrained_model` folder, or a Hub repo id.
        revision: Hub revision.
        role: What it is to the policy that is made from it, such as "teacher" or "base".
        option: Command-line option that names it; messages begin with it.
        kinds: Policy types that it may be of.
    """

    path: str
    revision: str | None = None
    role: str = "policy"
    option: str = "--policy.path"
    kinds: Collection[str] = ()

    @property
    def given(self) -> str:
        """The option as it was given, `OPTION=VALUE`."""
        return f"{self.option}={self.path}"

    @property
    def owner(self) -> str:
        """What messages call it."""
        return f"the {self.role} at {self.path}"

    def file(self, name: str) -> Path:
        """Local path of one of its files.

        Raises:
            InputError: There is no such folder, repo or file.
        """
        return policy_file(self.path, name, self.revision, self.option)

    @cached_property
    def config(self) -> PreTrainedConfig:
        """Its configuration; shared, so that nobody may change it.

        Raises:
            InputError: Not a policy, of another type, or without the processors that the other policy needs,
                or with some that are not to be used.
        """
        file = self.file(CONFIG_FILE)
        kind = read_object(file, str(file)).get("type")
        if kind not in self.kinds:
            raise InputError(
                f"{self.given}: is of type '{kind}'; a {self.role} has to be of type {', '.join(self.kinds)}."
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
        from lerobot_sdm.policies.pipelines import check_pipelines  # It reads files of this package.

        check_pipelines(self.path, self.revision)
        return PreTrainedConfig.from_pretrained(file.parent)

    @cached_property
    def sha256(self) -> str:
        """Hash of its weights, by which a resumed run knows that it has the same source."""
        return fingerprint(self.path, self.revision, self.option)

    def check_same(self, known: str | None) -> None:
        """Refuse to continue with another source than a run began with.

        Args:
            known: Hash of the run's source; None for a run that begins.

        Raises:
            InputError: It is another one.
        """
        if known not in (None, self.sha256):
            raise InputError(
                f"{self.given}: this run began with another {self.role} (SHA-256 {known[:12]}..., now "
                f"{self.sha256[:12]}...). Put that one back, or start a new run."
            )

    def load(self, device: str) -> Any:
        """Its encoder and denoiser with the weights that it acts with, frozen, on a device.

        Raises:
            InputError: The weights do not fit its configuration.
        """
        config = configuration(describe(self.config), device)
        adapter = adapter_for(config.type)
        network: nn.Module = adapter.network(config)
        load_strictly(network, adapter.weights(self.file(WEIGHTS_FILE)), self.given)
        return network.requires_grad_(False).eval().to(device)

    def normalization(self) -> dict[str, Tensor]:
        """The numbers by which it normalizes, such as `observation.state.min`."""
        steps = json.loads(self.file(PROCESSOR_FILES[0]).read_text())["steps"]
        files = [step["state_file"] for step in steps if "state_file" in step]
        return {key: value for name in files for key, value in load_file(self.file(name)).items()}


def copy_fields(config: Any, theirs: Any, names: Collection[str], owner: str, reason: str) -> None:
    """Give a configuration the values of its source in fields that are not free.

    Args:
        config: Changed in place.
        theirs: The source's configuration; where it lacks a field, the default holds.
        names: Fields to copy. One that was given another value than the source's is refused; one whose default is
            made by a function (a dictionary) is overwritten.
        owner: What messages call the source.
        reason: Why both must agree, the end of a sentence.

    Raises:
        InputError: Names a field that contradicts the source.
    """
    known = {item.name: item for item in fields(config)}
    for name in names:
        item, mine = known[name], getattr(config, name)
        default = item.default if item.default_factory is MISSING else item.default_factory()
        value = getattr(theirs, name, default)
        if item.default_factory is MISSING and mine not in (default, {}, value):
            raise InputError(f"--policy.{name}={mine}: {owner} has {value}, and {reason}. Leave the option out.")
        setattr(config, name, value)


def check_same_features(
    source: PreTrainedConfig, features: Mapping[str, Any], role: str, path: str | None = None
) -> None:
    """Refuse a dataset that the source of a policy does not fit.

    Args:
        source: The source's configuration, with its features.
        features: Those of the policy that is made from it, input and output together, as they come from the dataset.
        role: What the source is to that policy.
        path: Where the source is, for the message.

    Raises:
        InputError: Names the first feature that differs.
    """
    known = {**source.input_features, **source.output_features}
    owner = f"the {role}" if path is None else f"the {role} at {path}"
    fix = f"Give a dataset of the robot that the {role} was trained on, or another {role}."
    check_sizes(shapes_of(features), shapes_of(known), "the dataset", owner, fix, complete=True, cut=False)
    extra = sorted(features.keys() - known.keys())
    if extra:
        raise InputError(
            f"'{extra[0]}' is in the dataset and unknown to {owner}, and both policies see the same. Leave it out with "
            "--policy.input_features."
        )
