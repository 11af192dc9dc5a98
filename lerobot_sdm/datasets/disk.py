"""Reports a full disk as an input error with the command to repeat."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from lerobot_sdm.errors import InputError, causes

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def disk_full_is_an_input_error(root: Path, resumes: bool = True) -> Iterator[None]:
    """Context manager for writing a dataset next to its final folder `root`.

    Args:
        resumes: Whether a repeated call resumes with the finished parts.

    Raises:
        InputError: Replaces any exception caused by a full disk.
    """
    try:
        yield
    except Exception as error:
        cause = next((cause for cause in causes(error) if getattr(cause, "errno", None) in DISK_FULL), None)
        if cause is None:
            raise
        kept = "The finished parts are kept. " if resumes else ""
        raise InputError(
            f"--root={root}: the disk is full ({cause}). {kept}Free some space and rerun the same command"
            f"{' to resume' if resumes else ''}."
        ) from error
