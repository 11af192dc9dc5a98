"""Freed memory that stays with a process: counted by the page faults of steps that take and free the same blocks."""

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
from lerobot_sdm.processes.memory import keep_freed_memory

def step():
    blocks = [b"x" * (5 * 2**20) for _ in range(10)]

kept = keep_freed_memory() if sys.argv[1] == "keep" else False
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def kept_and_faults(argument: str, **variables: str) -> tuple[str, int]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | variables
    command = [sys.executable, "-c", STEPS, argument]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    kept, faults = output.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Other C libraries have no mallopt.")
def test_steps_reuse_what_they_freed():
    """50 MB a step are 12,800 pages of 4 kB, or 25 of 2 MB."""
    _, default = kept_and_faults("leave")
    kept, faults = kept_and_faults("keep")
    assert kept == "True"
    assert default > 20 * 20
    assert faults < default / 10


def test_the_users_allocator_settings_stand():
    assert kept_and_faults("keep", MALLOC_ARENA_MAX="2")[0] == "False"
