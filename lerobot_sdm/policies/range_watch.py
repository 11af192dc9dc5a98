"""Compare data with a policy's training ranges: dataset statistics at the start of training, and first observations."""

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
from lerobot_sdm.policies.ranges import ValueRange, difference
from lerobot_sdm.policies.source.source_policy import SourcePolicy
from lerobot_sdm.processors.normalization import unflattened

logger = logging.getLogger(__name__)

PREPROCESSOR = f"{POLICY_PREPROCESSOR_DEFAULT_NAME}.json"
LOOKS = 5
"""Number of observations to check: a wrong camera or unit shows in the first ones."""
PIXEL_STRIDE = 8
REFIT = (
    " Fine-tuning normalizes by the dataset's own range, so the network gets other values for the same place than it "
    "was trained on."
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
        statistics: The dataset's statistics, column -> statistic -> values, after `prepare_stats`.
        known: The statistics of the checkpoint's normalizer, in the same form.
        keys: Columns to check.
        owner: Whose normalizer it is, such as "the teacher at outputs/run".
        refit: Whether the dataset's statistics will replace the checkpoint's; if so, only warn.

    Raises:
        InputError: A column has another scale, or its clouds lie far outside the known ones.
    """
    for key in keys:
        mine, theirs = (ValueRange.of_statistics(found.get(key, {})) for found in (statistics or {}, known))
        if mine is None or theirs is None or not mine.is_detailed or mine.low.shape != theirs.low.shape:
            continue
        found = difference(key, mine, theirs, "the dataset", owner)
        if found is None:
            continue
        if found.decisive and not refit:
            raise InputError(f"{found.text} Training would not work. Use a dataset in the same units and view.")
        logger.warning("%s%s", found.text, REFIT if refit else "")


def warn_before_fine_tuning(config: Any, statistics: Statistics | None, path: str) -> None:
    """Warn if a dataset differs from the one that a loaded checkpoint was trained on, since fine-tuning normalizes by
    the new dataset's statistics. A checkpoint without pipelines is not checked."""
    checkpoint = SourcePolicy(path, config.pretrained_revision, role="checkpoint")
    try:
        known = unflattened(checkpoint.normalization())
    except InputError:
        return
    features = [*config.input_features, *config.output_features]
    check_dataset(statistics, known, features, checkpoint.owner, refit=True)


def watch_source(
    source: SourcePolicy, features: Collection[str], statistics: Statistics | None, dataset: Any
) -> RangeWatch:
    """Compare a dataset with the policy whose pipelines normalize it, when training from that policy starts.

    The watch that is returned checks, in the first batches, observations that are not dataset columns, such as clouds
    made from depth images.

    Args:
        source: The other policy.
        features: Observations and actions of the new policy.
        statistics: The dataset's statistics, after `prepare_stats`.
        dataset: The dataset's metadata.

    Raises:
        InputError: A column has another scale, or its clouds lie far outside the known ones.
    """
    columns = set(getattr(dataset, "features", {}))
    if columns & set(POINT_CLOUD_KEYS):
        columns.add(POINT_CLOUD)
    stored = [key for key in features if key in columns]
    check_dataset(statistics, unflattened(source.normalization()), stored, source.owner)
    return RangeWatch(source.file(PREPROCESSOR).parent, source.owner, warned=stored)


class RangeWatch:
    """Checks the first observations of a run, and warns once for each that is outside the training range.

    Args:
        folder: Folder of the checkpoint whose pipeline normalized the observations. Without a pipeline in it, nothing
            is checked.
        owner: Name of the checkpoint in warnings.
        warned: Observations to skip.
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
            found = difference(key, ValueRange.of_values(values), known, "the observation", self._owner)
            if found is not None:
                logger.warning("%s", found.text)
                self._warned.add(key)

    @cached_property
    def _known(self) -> dict[str, ValueRange]:
        normalizer = self._normalizer
        if normalizer is None:
            return {}
        statistics = {key: normalizer.stats.get(key, {}) for key in normalizer.features}
        spreads = {key: ValueRange.of_statistics(found) for key, found in statistics.items()}
        return {key: spread for key, spread in spreads.items() if spread is not None}

    @cached_property
    def _normalizer(self) -> UnnormalizerProcessorStep | None:
        """Unnormalizes observations; None if the folder has no readable pipeline. Loaded at the first observation,
        because the pipelines of a policy from the Hub are downloaded after its weights."""
        try:
            steps = json.loads((self._folder / PREPROCESSOR).read_text())["steps"]
            (saved,) = [step for step in steps if step.get("registry_name") == "normalizer_processor"]
            config = {name: saved["config"][name] for name in ("features", "norm_map", "eps")}
            step = UnnormalizerProcessorStep(**config)
            step.load_state_dict(load_file(self._folder / saved["state_file"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
            return None  # No watch without it; the code that loads the pipeline reports what is wrong with it.
        return step
