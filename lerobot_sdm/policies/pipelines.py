"""Check the saved pipelines of a policy before LeRobot builds them.

LeRobot builds whatever a pipeline names: for a step given as a class path it imports the module and calls the class
with the saved settings, even `subprocess.Popen`. One of its tokenizer steps loads code from the Hub unless told not to.
And without statistics its normalizer silently does nothing. So that a checkpoint is only data, its pipelines may only
contain the steps that policies of this package need.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.processor import ProcessorStepRegistry
from safetensors import SafetensorError
from safetensors.torch import load_file

from lerobot_sdm import processors
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.source.files import PROCESSOR_FILES, policy_file
from lerobot_sdm.processors.normalization import check_statistics, unflattened
from lerobot_sdm.safe_files.json_files import AGAIN, read_object, said

logger = logging.getLogger(__name__)

SAFE_STEPS = {
    "rename_observations_processor",
    "to_batch_processor",
    "device_processor",
    "normalizer_processor",
    "unnormalizer_processor",
}
"""LeRobot's own steps that are safe to build. Registered steps of this package and of other installed plugins are
allowed as well."""
NORMALIZERS = ("normalizer_processor", "unnormalizer_processor")
"""The step that the preprocessor must have, and that of the postprocessor."""

Check = Callable[[Any], bool]
NORMALIZER_SETTINGS: dict[str, Check] = {
    "eps": lambda value: isinstance(value, int | float) and 0 < value < 1,
    "normalize_observation_keys": lambda value: value is None or isinstance(value, list),
}
SETTINGS: dict[str, dict[str, Check]] = {
    "rename_observations_processor": {
        "rename_map": lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value.values())
    },
    "device_processor": {
        "device": lambda value: isinstance(value, str),
        "float_dtype": lambda value: value is None or isinstance(value, str),
    },
    "normalizer_processor": NORMALIZER_SETTINGS,
    "unnormalizer_processor": NORMALIZER_SETTINGS,
}
"""Settings of LeRobot's steps -> validity check. Features and modes are checked together with the statistics."""


def check_pipelines(path: str, revision: str | None = None) -> None:
    """Refuse unsafe or damaged pipelines of a policy in a folder or on the Hub. Missing pipelines are not an error.

    Raises:
        InputError: A pipeline is unsafe or damaged; names the file and the problem.
    """
    processors.register()
    for name, normalizer in zip(PROCESSOR_FILES, NORMALIZERS, strict=True):
        try:
            file = policy_file(path, name, revision)
        except InputError:
            continue
        steps = _steps(file)
        if [step["registry_name"] for step in steps].count(normalizer) != 1:
            raise InputError(f"{file}: must hold one '{normalizer}'. {AGAIN}")
        for step in steps:
            kind, state = step["registry_name"], step.get("state_file")
            if kind not in NORMALIZERS:
                continue
            if state is None:
                logger.warning("%s: '%s' has no statistics and changes nothing.", file, kind)
            else:
                _check_normalizer(file, step, policy_file(path, state, revision))


def _steps(file: Path) -> list[dict[str, Any]]:
    """The steps of a pipeline, each registered and safe to build."""
    try:
        steps = read_object(file, str(file))["steps"]
        told = [(step.get("registry_name"), step.get("state_file"), step.get("config", {})) for step in steps]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: is not a pipeline, or is damaged ({said(error)}). {AGAIN}") from error
    for name, state, settings in told:
        if not isinstance(name, str) or name not in ProcessorStepRegistry.list():
            raise InputError(
                f"{file}: names a step {name!r} that no installed package has registered. Install the plugin that it "
                "belongs to, but only use pipelines from people you trust: a step is code."
            )
        if ProcessorStepRegistry.get(name).__module__.partition(".")[0] == "lerobot" and name not in SAFE_STEPS:
            raise InputError(
                f"{file}: names LeRobot's step '{name}', which no policy of this package needs and which may load code "
                f"from elsewhere. Allowed steps: {', '.join(sorted(SAFE_STEPS))}."
            )
        if state is not None and (not isinstance(state, str) or Path(state).name != state):
            raise InputError(f"{file}: the state {state!r} of '{name}' is not a file next to it. {AGAIN}")
        _check_settings(file, name, settings)
    return steps


def _check_settings(file: Path, step: str, values: Any) -> None:
    """Refuse settings that LeRobot's steps would accept and later fail on; other steps check their own."""
    checks = SETTINGS.get(step, {}) if isinstance(values, dict) else {}
    wrong = [name for name, fits in checks.items() if name in values and not fits(values[name])]
    if not isinstance(values, dict) or wrong:
        told = f"{wrong[0]}={values[wrong[0]]!r}" if wrong else repr(values)
        raise InputError(f"{file}: the settings of '{step}' are damaged: {told}. {AGAIN}")


def _check_normalizer(file: Path, step: Mapping[str, Any], state: Path) -> None:
    """Refuse statistics that are missing for a normalized feature, or do not match its shape."""
    try:
        statistics = unflattened(load_file(state))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{state}: cannot be read ({error}). {AGAIN}") from error
    try:
        features = {
            key: PolicyFeature(FeatureType(feature["type"]), tuple(map(operator.index, feature["shape"])))
            for key, feature in step["config"]["features"].items()
        }
        modes = {FeatureType(kind): NormalizationMode(mode) for kind, mode in step["config"]["norm_map"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        kind = step["registry_name"]
        raise InputError(f"{file}: the settings of '{kind}' are damaged ({said(error)}). {AGAIN}") from error
    check_statistics(statistics, features, modes, f"{state}, of {file.name}", AGAIN)
