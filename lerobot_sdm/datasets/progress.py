"""When to show a progress bar."""

BAR_DELAY = 2.0
"""Seconds before the bar of a stage appears, so that small datasets show none."""
