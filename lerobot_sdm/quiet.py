"""Shorten or silence messages of other packages that users cannot act on.

If torchcodec finds no FFmpeg, LeRobot logs five tracebacks whenever a dataset is opened, although PyAV takes over and
nothing is wrong. PyOpenGL reports in every run that an optional package is missing.
"""

import logging

LOGGER = "lerobot.utils.import_utils"
OPENGL_LOGGER = "OpenGL.acceleratesupport"
MARK = "'torchcodec' is installed but cannot be loaded"
NOTICE = (
    "Videos are decoded by PyAV, because torchcodec, which is faster, found no FFmpeg that it can load. Datasets "
    "without videos need neither; for others install FFmpeg, e.g. `apt install ffmpeg` (see docs/troubleshooting.md)."
)


class OneLine(logging.Filter):
    """Replace LeRobot's first torchcodec message with `NOTICE`, and drop the following ones."""

    def __init__(self) -> None:
        super().__init__()
        self.said = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record. LeRobot's original message is kept as the record's `complaint`."""
        if MARK not in str(record.msg):
            return True
        record.complaint, record.msg, record.args = record.msg, NOTICE, None
        first, self.said = not self.said, True
        return first


def register() -> None:
    """Filter the loggers that emit these messages; decoding itself does not change."""
    logging.getLogger(OPENGL_LOGGER).setLevel(logging.WARNING)
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(known, OneLine) for known in logger.filters):
        logger.addFilter(OneLine())
