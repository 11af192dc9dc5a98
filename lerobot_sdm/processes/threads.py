"""Count the CPU cores that this process may use, and choose the number of threads for a command."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

from lerobot_sdm.processes.control_groups import control_groups

WAIT_POLICY = "OMP_WAIT_POLICY"
MOST_USEFUL = 4
"""Threads beyond which small networks gain little: two threads speed up a step by 1.25 to 1.5, and by Amdahl's law
eight would be little faster than four."""


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy, at least 1: by its affinity and its cgroup quota.

    Args:
        root: Root folder of the `proc` and `sys` file systems.
    """
    if hasattr(os, "process_cpu_count"):
        cores = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    # A quota of 1.5 cores keeps one busy; a quota of 1.99 is meant to be 2.
    quotas = [max(1, math.floor(quota + 0.05)) for quota in _quotas(root)]
    return min([cores, *quotas])


def default_threads(cores: int) -> int:
    """Threads for a training on this many cores, leaving one core for everything else.

    This holds on two cores, too: a training would be faster with both, but anything beside it would wait.
    """
    return max(1, min(cores - 1, MOST_USEFUL))


def passive_waiting() -> dict[str, str]:
    """Environment variable that makes waiting OpenMP threads sleep, unless the user has set it.

    By default they spin: as soon as another program wants a core, each step waits for a thread that waits for a core
    on which another thread is spinning.
    """
    return {WAIT_POLICY: os.environ.get(WAIT_POLICY, "passive")}


def _quotas(root: Path) -> Iterator[float]:
    """CPU quota in cores: of this process's own cgroup and of those above it."""
    for group, version in control_groups("cpu", root):
        yield from _quota(group, version)


def _quota(group: Path, version: int) -> Iterator[float]:
    """The quota of one cgroup, if it has one."""
    try:
        if version == 2:
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return


def advice(threads: int, cores: int, load: float, machine_cores: int) -> str | None:
    """Warning for a CPU training with more threads than free cores; None if there are enough.

    Args:
        threads: Its threads.
        cores: Cores that it may use on this machine.
        load: The machine's load average, which includes the training itself.
        machine_cores: Cores of the machine, of which `cores` may be a part.
    """
    others = max(0.0, load - 1) * cores / machine_cores
    free = max(1, round(cores - others))
    if threads <= free:
        return None
    return (
        f"OMP_NUM_THREADS: the training has {threads} threads, but only about {free} of {cores} cores are free. Each "
        "step waits for the slowest thread, so training may be many times slower than necessary. Restart it with "
        f"OMP_NUM_THREADS={free} {WAIT_POLICY}=passive before the command."
    )
