"""One line in the log of a training that has more threads than there are cores for them."""

import functools
import logging
import os

import torch

from lerobot_sdm.processes.threads import advice, available_cores

logger = logging.getLogger(__name__)


@functools.cache
def warn_of_too_many_threads(device: str) -> None:
    """Say so once where a training on the processor has more threads than there are free cores.

    Args:
        device: The policy's, as torch names it.
    """
    if device != "cpu" or not hasattr(os, "getloadavg"):
        return
    load, *_ = os.getloadavg()
    text = advice(torch.get_num_threads(), available_cores(), load, os.cpu_count() or 1)
    if text is not None:
        logger.warning(text)
