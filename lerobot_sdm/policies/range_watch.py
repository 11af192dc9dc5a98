"""The two moments at which a policy meets numbers: a dataset's statistics when training starts, and what it sees."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.configs.types import FeatureType
from lerobot.lerobot_types import TransitionKey
from lerobot.processor import UnnormalizerProcessorStep
from lerobot.utils.constants import POLICY_PREPROCESSOR_DEFAULT_NAME
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lerobot_sdm.clouds import POINT_CLOUD, POINT_CLOUD_KEYS
from lerobot_sdm.errors import InputError
from lerobot_sdm.policies.ranges import Spread, difference
from lerobot_sdm.policies.source.source_policy import SourcePolicy

logger = logging.getLogger(__name__)

PREPROCESSOR = f"{POLICY_PREPROCESSOR_DEFAULT_NAME}.json"
LOOKS = 5
"""Observations that are looked at: a wrong camera or unit shows in the first."""
PIXEL_STRIDE = 8
REFIT = (
    " Fine-tuning normalizes by the dataset's own range, so that the network sees other numbers for the same place "
    "than it has learned."
)

Statistics = Mapping[str, Mapping[str, Any]]


def check_dataset(
    statistics: Statistics | None,
    known: Statistics,
    keys: Collection[str],
    owner: str,
    refit: bool = False,
) -> None:
    """Compare a dataset with what a checkpoint was trained on, when training starts.

    Args:
        statistics: Of the dataset, column -> statistic -> values, after `prepare_stats`.
        known: Of the checkpoint's normalizer, alike.
        keys: Columns to look at.
        owner: Whose normalizer it is, such as "the teacher at outputs/run".
        refit: Whether the dataset's statistics take the place of the checkpoint's; then nothing is refused.

    Raises:
        InputError: A column is in another scale, or its clouds lie beside the known ones.
    """
    for key in keys:
        mine, theirs = (Spread.of_statistics(found.get(key, {})) for found in (statistics or {}, known))
        if mine is None or theirs is None or not mine.is_detailed or mine.low.shape != theirs.low.shape:
            continue
        found = difference(key, mine, theirs, "the dataset", owner)
        if found is None:
            continue
        if found.decisive and not refit:
            raise InputError(f"{found.text} Training would teach nothing: give a dataset in the same units and view.")
        logger.warning("%s%s", found.text, REFIT if refit else "")


def warn_before_fine_tuning(config: Any, statistics: Statistics | None, path: str) -> None:
    """Warn where a dataset is unlike the one that a loaded checkpoint was trained on; its own takes the place of that
    one's normalization. A checkpoint without pipelines is not looked at."""
    checkpoint = SourcePolicy(path, config.pretrained_revision, role="checkpoint")
    try:
        known = unflattened(checkpoint.normalization())
    except InputError:
        return
    features = [*config.input_features, *config.output_features]
    check_dataset(statistics, known, features, checkpoint.owner, refit=True)


def unflattened(state: Mapping[str, Tensor]) -> dict[str, dict[str, np.ndarray]]:
    """The state of LeRobot's normalizer, `observation.state.min` and the like, as column -> statistic -> values."""
    statistics: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state.items():
        key, _, statistic = name.rpartition(".")
        statistics.setdefault(key, {})[statistic] = value.float().cpu().numpy()
    return statistics


def watch_source(
    source: SourcePolicy, features: Collection[str], statistics: Statistics | None, dataset: Any
) -> RangeWatch:
    """Compare a dataset with the policy whose pipelines normalize it, when training from that policy starts.

    Args:
        source: The other policy.
        features: Observations and actions of the new policy.
        statistics: Of the dataset, after `prepare_stats`.
        dataset: Its metadata.

    Returns:
        What looks at the first batches of observations that are no columns, such as clouds of depth images.

    Raises:
        InputError: A column is in another scale, or its clouds lie beside the known ones.
    """
    columns = set(getattr(dataset, "features", {}))
    if columns & set(POINT_CLOUD_KEYS):
        columns.add(POINT_CLOUD)
    stored = [key for key in features if key in columns]
    check_dataset(statistics, unflattened(source.normalization()), stored, source.owner)
    return RangeWatch(source.file(PREPROCESSOR).parent, source.owner, warned=stored)


class RangeWatch:
    """Looks at the first observations of a run, and warns once of each that is unlike those of the training.

    Args:
        folder: Of the checkpoint by whose pipeline the observations were normalized. Where it holds none, nothing is
            looked at.
        owner: How the warning calls the checkpoint.
        warned: Observations that need not be looked at.
    """

    def __init__(self, folder: Path, owner: str, warned: Collection[str] = ()):
        self._folder, self._owner = folder, owner
        self._warned, self._left = set(warned), LOOKS

    def look(self, observation: Mapping[str, Tensor]) -> None:
        """Args: observation: Normalized, each (B, ..., *shape)."""
        if self._left <= 0 or self._normalizer is None:
            return
        self._left -= 1
        finite = {key: value for key, value in observation.items() if bool(value.isfinite().all())}
        raw = self._normalizer({TransitionKey.OBSERVATION: finite})[TransitionKey.OBSERVATION]
        for key in self._known.keys() & raw.keys() - self._warned:
            values = raw[key].detach().float().cpu().numpy()
            if self._normalizer.features[key].type is FeatureType.VISUAL:
                values = np.moveaxis(values[..., ::PIXEL_STRIDE, ::PIXEL_STRIDE], -3, -1)
            known = self._known[key]
            if values.size == 0 or values.shape[-1] != len(known.low):
                continue
            found = difference(key, Spread.of_values(values), known, "the observation", self._owner)
            if found is not None:
                logger.warning("%s", found.text)
                self._warned.add(key)

    @cached_property
    def _known(self) -> dict[str, Spread]:
        normalizer = self._normalizer
        if normalizer is None:
            return {}
        statistics = {key: normalizer.stats.get(key, {}) for key in normalizer.features}
        spreads = {key: Spread.of_statistics(found) for key, found in statistics.items()}
        return {key: spread for key, spread in spreads.items() if spread is not None}

    @cached_property
    def _normalizer(self) -> UnnormalizerProcessorStep | None:
        """Turns normalized observations back; None where the folder has no pipeline that can be read. Looked for at
        the first observation: of a policy from the Hub the pipelines are loaded after the weights."""
        try:
            steps = json.loads((self._folder / PREPROCESSOR).read_text())["steps"]
            (saved,) = [step for step in steps if step.get("registry_name") == "normalizer_processor"]
            config = {name: saved["config"][name] for name in ("features", "norm_map", "eps")}
            step = UnnormalizerProcessorStep(**config)
            step.load_state_dict(load_file(self._folder / saved["state_file"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
            return None  # This is about a warning; who loads the pipeline says what is wrong with it.
        return step
