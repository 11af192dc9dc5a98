"""Memory limits of the dataset cache."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from lerobot_sdm.errors import InputError
from lerobot_sdm.processes.control_groups import control_groups

BUDGET_VARIABLE = "LEROBOT_SDM_CACHE_GB"
DEFAULT_SHARE = 0.4
SHARED_MEMORY = Path("/dev/shm")
LOCAL_PROCESSES = "LOCAL_WORLD_SIZE"
"""Number of training processes on this machine, set by `accelerate launch` and `torchrun`."""
LIMIT_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""Version of a cgroup -> its files with limit and usage, and the entry of memory.stat that is freed on demand."""


def cache_budget(root: Path = Path("/")) -> float:
    """Bytes that one dataset may take in this process: `LEROBOT_SDM_CACHE_GB` (1e9 bytes), else this process's share of
    40% of the memory now free, because every training process on the machine caches the dataset.

    Args:
        root: Root folder of the `proc` and `sys` file systems.

    Raises:
        InputError: The variable is not a number of gigabytes.
    """
    given = os.environ.get(BUDGET_VARIABLE)
    if given is None:
        return DEFAULT_SHARE * available_memory(root) / int(os.environ.get(LOCAL_PROCESSES, 1))
    try:
        gigabytes = float(given)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise InputError(f"{BUDGET_VARIABLE}={given}: must be a number of gigabytes, such as 8, or 0 for no cache.")
    return gigabytes * 1e9


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that this process can still allocate: the machine's free memory, or what a cgroup's limit leaves.

    Args:
        root: Root folder of the `proc` and `sys` file systems.
    """
    left = [left for group, version in control_groups("memory", root) for left in _left_in(group, version)]
    return max(0, min([psutil.virtual_memory().available, *left]))


def _left_in(group: Path, version: int) -> Iterator[int]:
    """Bytes below the memory limit of one cgroup, if it has one. Its usage includes files that were read once, which
    the kernel drops before it refuses memory."""
    limit, usage, droppable = LIMIT_FILES[version]
    try:
        most, used = ((group / name).read_text().strip() for name in (limit, usage))
        if most != "max":
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            yield int(most) - int(used) + int(stat[droppable])
    except (OSError, ValueError, LookupError):
        return


def fits_shared_memory(nbytes: int) -> bool:
    """Whether tensors of this size fit into shared memory and leave half of it for batches.

    Containers often allow 64 MB, and exceeding the limit causes a bus error instead of an exception.
    """
    return SHARED_MEMORY.is_dir() and 2 * nbytes < shutil.disk_usage(SHARED_MEMORY).free
