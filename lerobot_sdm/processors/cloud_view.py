"""Pass the view of point clouds from an environment or dataset to the policy that is trained or acts on them."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot.configs.types import PipelineFeatureType, PolicyFeature
from lerobot.processor import ObservationProcessorStep

logger = logging.getLogger(__name__)

OBS_CLOUD_VIEW = "observation.cloud_view"
"""Key under which an environment's processor describes how its clouds are made."""

PROVENANCE = Path("meta/provenance.json")
"""File with the provenance of a dataset of this package, relative to its root."""

View = dict[str, Any]
"""How clouds are made, as returned by `envs.options.described_view`."""

NOT_COMPARED = frozenset({"view", "env_type", "use_color"})
"""Options to ignore: names, and color, which a policy that does not use it drops; a lack of color is a shape error."""

CHANGES_LITTLE = frozenset({"num_points", "camera_size"})
"""Options that change a cloud's resolution, not what it shows or where."""


@dataclass
class CloudViewStep(ObservationProcessorStep):
    """Add the description of how the clouds are made to an environment's observations. Other policies ignore it."""

    view: View = field(default_factory=dict)

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {**observation, OBS_CLOUD_VIEW: self.view}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        return features


def read_provenance(root: str | Path | None) -> dict[str, Any]:
    """Read the provenance of a dataset of this package in a folder; empty if it is missing or unreadable."""
    path = Path(root or ".") / PROVENANCE
    if root is None or not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text())
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def recorded_view(root: str | Path | None) -> View | None:
    """How the clouds of a dataset in a folder were made; None if the dataset does not say."""
    view = read_provenance(root).get("view")
    return view if isinstance(view, dict) else None


def view_differences(trained: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Options that both views contain and in which they differ: name -> (trained, seen)."""
    return {
        name: (trained[name], seen[name])
        for name in trained
        if name in seen and name not in NOT_COMPARED and trained[name] != seen[name]
    }


def warn_of_another_view(trained: View | None, seen: View | None, where: str) -> None:
    """Warn if clouds are made differently from those that a policy was trained on.

    Args:
        trained: View of the policy's training data; None if unknown.
        seen: View of the current data; None if unknown.
        where: Where the current data come from, such as "the environment".
    """
    if trained is None or seen is None:
        return
    differences = view_differences(trained, seen)
    if not differences:
        return
    told = "; ".join(f"{name} was {before!r}, is {now!r}" for name, (before, now) in differences.items())
    if differences.keys() <= CHANGES_LITTLE:
        logger.warning("Clouds of %s are as in training but for %s.", where, told)
    else:
        logger.warning(
            "Clouds of %s are not those that this policy was trained on (view '%s', not '%s'): %s. Expect it to fail; "
            "give --env.view=%s and the options of the recording.",
            where,
            seen.get("view"),
            trained.get("view"),
            told,
            trained.get("view"),
        )
