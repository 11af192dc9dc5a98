"""Restore this process's scheduling class, which a video encoder may change silently."""

import os


def leave_real_time() -> None:
    """Go back to normal scheduling if the SVT-AV1 encoder has made this thread a real-time thread.

    It does so whenever it encodes as root, as in a container: SCHED_FIFO, for the rest of the thread's life and for
    every process started from it. Such a thread keeps its core until it blocks; two of them starve everything else on
    two cores. The encoder's own threads end with the encoding.
    """
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
