"""Lets a resumed `lerobot-train` continue the data order of the run it resumes.

LeRobot's sampler derives each epoch's order from (seed, epoch), and on resume LeRobot tells it the epoch to continue
from. But accelerate sets its own epoch number before each epoch, and that number starts at 0 again in the new process:
with LeRobot 0.6.1, a run that is resumed after its first epoch sees the first epoch's order again. The same seed,
steps, and checkpoint then give different weights.
"""

import functools
from types import ModuleType
from typing import Any

from lerobot_sdm.datasets.import_hook import when_imported
from lerobot_sdm.lerobot_internals import patch

SAMPLER = "lerobot.datasets.sampler"


def install(sampler: ModuleType) -> None:
    """Make the first epoch set after `load_state_dict` the loaded one, whatever its number.

    This changes nothing for a run that was not resumed, or with a LeRobot that sets the right number itself.
    """
    original = sampler.EpisodeAwareSampler
    load_state_dict, set_epoch = original.load_state_dict, original.set_epoch
    if hasattr(set_epoch, "__wrapped__"):  # A second call finds the first one's patch.
        return

    def load_and_remember(self: Any, state: dict) -> None:
        load_state_dict(self, state)
        self._resumed_epoch = state["epoch"]

    @functools.wraps(set_epoch)
    def set_epoch_after_resume(self: Any, epoch: int) -> None:
        resumed = self.__dict__.pop("_resumed_epoch", None)
        if resumed is not None:
            self._epoch_offset = resumed - epoch
        set_epoch(self, epoch + getattr(self, "_epoch_offset", 0))

    patch(original, "load_state_dict", load_and_remember)
    patch(original, "set_epoch", set_epoch_after_resume)


def register() -> None:
    """Install as soon as LeRobot's sampler is imported."""
    when_imported(SAMPLER, install)
