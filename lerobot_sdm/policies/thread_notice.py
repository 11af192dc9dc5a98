"""Warn if training on the CPU uses more threads than there are free cores."""

import functools
import logging
import os

import torch

from lerobot_sdm.processes.threads import advice, available_cores

logger = logging.getLogger(__name__)


@functools.cache
def warn_of_too_many_threads(device: str) -> None:
    """Warn once if training on this device, by torch's name, is on the CPU with more threads than free cores."""
    if device != "cpu" or not hasattr(os, "getloadavg"):
        return
    load, *_ = os.getloadavg()
    text = advice(torch.get_num_threads(), available_cores(), load, os.cpu_count() or 1)
    if text is not None:
        logger.warning(text)
