"""Notice that all samples for an observation have become the same although they do not hit the demonstration."""

import logging

logger = logging.getLogger(__name__)

MEMORY = 100
"""Training steps that averages go back, and that must have passed before a warning."""
LEAST_RATIO = 0.05
"""Samples of the demonstrations' distribution have a ratio of at least 2/3."""


class CollapseWatch:
    """Warns once if samples lie much closer to each other than their mean to the demonstration.

    Attributes:
        collapsed: Whether they do, on average over the last `MEMORY` steps.
    """

    def __init__(self) -> None:
        self._steps, self._variance, self._error = 0, 0.0, 0.0
        self._warned = False

    @property
    def collapsed(self) -> bool:
        return self._steps >= MEMORY and self._variance < LEAST_RATIO * self._error

    def look(self, variance: float, centroid_error: float) -> None:
        """Take a training step's `drifting.spread` into account."""
        self._steps += 1
        share = 1 / min(self._steps, MEMORY)
        self._variance += share * (variance - self._variance)
        self._error += share * (centroid_error - self._error)
        if self.collapsed and not self._warned:
            self._warned = True
            logger.warning(
                "The samples of this drift policy have collapsed: for one observation they differ by %.2g (standard "
                "deviation, normalized actions), while their mean misses the demonstration by %.2g. Such a policy acts "
                "like a regression, which fails where there are several ways to act. Try --policy.affinity_floor=0, "
                "--policy.residual_noise=true, or a larger --policy.samples.",
                self._variance**0.5,
                self._error**0.5,
            )
