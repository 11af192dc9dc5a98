"""Untrusted zip files."""

import struct
import zipfile
import zlib

ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, ValueError, OverflowError)
"""What Python's `zipfile` raises for damaged, encrypted and unknown kinds of files: whatever its parsing runs into,
which its documentation does not say (names that are no text, methods that do not exist, fields that end early)."""
