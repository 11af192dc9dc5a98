"""How many processor cores this process may use, and how many threads a command takes of them."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

WAIT_POLICY = "OMP_WAIT_POLICY"
MOST_USEFUL = 4
"""Threads beyond which small networks gain little: two make their steps 1.25 to 1.5 times as fast, and by the same law
eight would make them little faster than four."""


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may keep busy, at least 1: by its affinity, and by the quota of its control groups.

    Args:
        root: Where the file systems `proc` and `sys` are.
    """
    if hasattr(os, "process_cpu_count"):
        cores = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    # Of a core and a half, one can be kept busy. A quota of 1.99 is meant to be 2.
    quotas = [max(1, math.floor(quota + 0.05)) for quota in _quotas(root)]
    return min([cores, *quotas])


def default_threads(cores: int) -> int:
    """Threads of a training on so many cores, one of which is left to everything else.

    On two cores, too: a training is faster with both, but whatever could run beside it would wait.
    """
    return max(1, min(cores - 1, MOST_USEFUL))


def passive_waiting() -> dict[str, str]:
    """Environment variable with which OpenMP's threads sleep while they wait, unless the user has decided otherwise.

    They spin by default: as soon as another program wants a core, each step waits for a thread that waits for a core
    on which another thread spins.
    """
    return {WAIT_POLICY: os.environ.get(WAIT_POLICY, "passive")}


def _quotas(root: Path) -> Iterator[float]:
    """Processor time that control groups allow, in cores: of this process's own group and of those above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        inside = Path(path.lstrip("/"))
        for group in (inside, *inside.parents):
            yield from _quota(mount / group, version=1 if controllers else 2)


def _quota(group: Path, version: int) -> Iterator[float]:
    """The quota of one control group, if it has one."""
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
    """What to say to a training on the processor with more threads than there are free cores; None if there are enough.

    Args:
        threads: Its threads.
        cores: Cores that it may use.
        load: Processes that want a core of the machine, itself among them: its load average.
        machine_cores: Cores of the machine, of which `cores` may be a part.
    """
    others = max(0.0, load - 1) * cores / machine_cores
    free = max(1, round(cores - others))
    if threads <= free:
        return None
    return (
        f"OMP_NUM_THREADS: the training has {threads} threads, and about {free} of {cores} cores are free. In each "
        "step all threads wait for the slowest, so it may be many times slower than need be. Start it again with "
        f"OMP_NUM_THREADS={free} {WAIT_POLICY}=passive before the command."
    )
