"""One line in the place of five tracebacks where torchcodec finds no FFmpeg.

Whenever a dataset is opened, LeRobot tries to import torchcodec, and logs all that it tried where that fails: about a
hundred lines, although PyAV takes over and nothing is wrong.
"""

import logging

LOGGER = "lerobot.utils.import_utils"
MARK = "'torchcodec' is installed but cannot be loaded"
NOTICE = (
    "Videos are decoded by PyAV, because torchcodec, which is faster, found no FFmpeg that it can load. Nothing is "
    "wrong, and datasets without videos need neither. To use torchcodec, install FFmpeg 4 to 8, such as by "
    "`apt install ffmpeg` or `conda install ffmpeg`; docs/troubleshooting.md says more."
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
    """Watch LeRobot's logger; its search for a decoder stays as it is."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(known, OneLine) for known in logger.filters):
        logger.addFilter(OneLine())
