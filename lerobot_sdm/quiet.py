"""Messages of other packages that no user can act on: one line in the place of a hundred, or none.

Where torchcodec finds no FFmpeg, LeRobot logs all that it tried whenever a dataset is opened: five tracebacks, although
PyAV takes over and nothing is wrong. PyOpenGL says in every run that an optional package is missing.
"""

import logging

LOGGER = "lerobot.utils.import_utils"
OPENGL_LOGGER = "OpenGL.acceleratesupport"
MARK = "'torchcodec' is installed but cannot be loaded"
NOTICE = (
    "Videos are decoded by PyAV: torchcodec, which is faster, found no FFmpeg that it can load. Datasets without "
    "videos need neither; for others install FFmpeg, such as by `apt install ffmpeg` (see docs/troubleshooting.md)."
)


class OneLine(logging.Filter):
    """Says `NOTICE` for the first of LeRobot's complaints, and nothing for those that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.said = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say something. What LeRobot wanted to say is kept as the record's `complaint`."""
        if MARK not in str(record.msg):
            return True
        record.complaint, record.msg, record.args = record.msg, NOTICE, None
        first, self.said = not self.said, True
        return first


def register() -> None:
    """Watch the loggers that say it; what they report on stays as it is."""
    logging.getLogger(OPENGL_LOGGER).setLevel(logging.WARNING)
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(known, OneLine) for known in logger.filters):
        logger.addFilter(OneLine())
