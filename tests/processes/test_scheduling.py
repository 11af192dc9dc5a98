"""A process that has encoded a video must share its core like any other."""

import os
import threading

import av
import numpy as np
import pytest

from lerobot_sdm.processes.scheduling import leave_real_time

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="scheduling classes are Linux's")


def encode(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", 10)
        stream.width = stream.height = 64
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(picture), *stream.encode()])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root's threads become real-time ones")
def test_the_encoder_makes_real_time_threads_and_we_do_not_keep_them(tmp_path):
    """If the first assertion fails, the encoder has learned better, and `leave_real_time` is no longer needed."""
    seen = []

    def work():
        encode(tmp_path / "video.mp4")
        seen.append(os.sched_getscheduler(0))
        leave_real_time()
        seen.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [os.SCHED_FIFO, os.SCHED_OTHER]


def test_other_classes_stay_as_they_are():
    """Whoever starts a program with `chrt --idle` means it."""
    seen = []

    def work():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        leave_real_time()
        seen.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [os.SCHED_BATCH]
