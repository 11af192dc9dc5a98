"""Errors of untrusted zip files."""

import struct
import zipfile
import zlib

ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError, OverflowError)
"""Exceptions of Python's `zipfile` for damaged, encrypted, and unknown files. Its documentation lists only a few;
the others come from its parser (names that are not text, unknown methods, truncated fields)."""
