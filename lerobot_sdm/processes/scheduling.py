"""The scheduling class of this process, which a video encoder may change behind everyone's back."""

import os


def leave_real_time() -> None:
    """Go back to ordinary scheduling, if the encoder SVT-AV1 has made this thread a real-time one.

    It does so whenever it encodes for root, as in a container: first in, first out, for the rest of the thread's life
    and for every process started from it. Such a thread keeps its core until it waits by itself; two of them starve
    everything else on two cores. The encoder's own threads end with the encoding.
    """
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) == os.SCHED_FIFO:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
