"""When a stage shows a progress bar."""

BAR_DELAY = 2.0
"""Seconds that a stage, which is over at once for small data, may take before its bar appears."""
