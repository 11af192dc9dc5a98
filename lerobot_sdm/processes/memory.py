"""Let the C library keep memory that a training step frees, instead of fetching it from the kernel in the next step."""

import ctypes
import functools
import os
import platform

# Parameters of `mallopt`, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""Bytes; glibc refuses more on 64-bit machines."""
NO_TRIM = 2**31 - 1
"""Bytes of free memory at the end of the heap; the largest integer that `mallopt` takes."""


@functools.cache
def keep_freed_memory() -> bool:
    """Keep freed memory from now on; returns whether that was possible.

    glibc gives large freed blocks back to the kernel, which must map and clear new pages for the next step's tensors.
    The process keeps its peak, and results stay the same. Nothing changes without glibc, or if the user has set one of
    glibc's `MALLOC_` variables.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(M_TRIM_THRESHOLD, NO_TRIM))
