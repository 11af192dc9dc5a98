"""A full disk, which is no fault of this package's, in the words of one command."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from lerobot_sdm.errors import InputError

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def disk_full_is_an_input_error(root: Path, resumes: bool = True) -> Iterator[None]:
    """Around what writes a dataset beside its place.

    Args:
        root: Folder of the dataset.
        resumes: Whether a repeated call goes on with the parts that are finished.

    Raises:
        InputError: In the place of any exception that a full disk is behind.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error  # libraries wrap it in exceptions of their own
        while cause is not None and getattr(cause, "errno", None) not in DISK_FULL:
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        kept = "What is finished is kept beside it: free" if resumes else "Free"
        raise InputError(
            f"--root={root}: the disk is full ({cause}). {kept} some space, and repeat the command"
            f"{' to go on' if resumes else ''}."
        ) from error
