"""Memory limits of the dataset cache."""

import os
import shutil
from pathlib import Path

import psutil

from lerobot_sdm.errors import InputError

BUDGET_VARIABLE = "LEROBOT_SDM_CACHE_GB"
DEFAULT_SHARE = 0.4
SHARED_MEMORY = Path("/dev/shm")


def cache_budget() -> float:
    """Bytes that one dataset may take: `LEROBOT_SDM_CACHE_GB` (1e9 bytes), else 40% of the memory now free.

    Raises:
        InputError: The variable is not a number of gigabytes.
    """
    given = os.environ.get(BUDGET_VARIABLE)
    if given is None:
        return DEFAULT_SHARE * psutil.virtual_memory().available
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise InputError(f"{BUDGET_VARIABLE}={given}: must be a number of gigabytes, such as 8, or 0 for no cache.")
    return gigabytes * 1e9


def fits_shared_memory(nbytes: int) -> bool:
    """Whether tensors of this size fit into shared memory and leave half of it for batches.

    Containers often allow 64 MB, and exceeding the limit causes a bus error instead of an exception.
    """
    return SHARED_MEMORY.is_dir() and 2 * nbytes < shutil.disk_usage(SHARED_MEMORY).free
