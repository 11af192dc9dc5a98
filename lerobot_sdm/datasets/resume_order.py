"""Lets a resumed `lerobot-train` continue the data order of the run it resumes.

LeRobot's sampler derives each epoch's order from (seed, epoch), and on resume it is told the epoch at which to go on.
But accelerate announces its own count of epochs before each one, and that count begins at 0 again in the new process:
with LeRobot 0.6.1 a run that is resumed behind its first epoch sees the first epoch's order once more. The same
seed, steps and checkpoint then give other weights.
"""

from types import ModuleType
from typing import Any

from lerobot_sdm.datasets.import_hook import when_imported

SAMPLER = "lerobot.datasets.sampler"


def install(sampler: ModuleType) -> None:
    """Make the first epoch announced behind `load_state_dict` the loaded one, whatever its number.

    Nothing changes for a run that was not resumed, nor under a LeRobot that announces the right number itself.
    """
    original = sampler.EpisodeAwareSampler
    if getattr(original, "continues_after_resume", False):
        return
    load_state_dict, set_epoch = original.load_state_dict, original.set_epoch

    def load_and_remember(self: Any, state: dict) -> None:
        load_state_dict(self, state)
        self._resumed_epoch = state["epoch"]

    def set_epoch_after_resume(self: Any, epoch: int) -> None:
        resumed = self.__dict__.pop("_resumed_epoch", None)
        if resumed is not None:
            self._epoch_offset = resumed - epoch
        set_epoch(self, epoch + getattr(self, "_epoch_offset", 0))

    original.load_state_dict = load_and_remember
    original.set_epoch = set_epoch_after_resume
    original.continues_after_resume = True


def register() -> None:
    """Install as soon as LeRobot's sampler is imported."""
    when_imported(SAMPLER, install)
