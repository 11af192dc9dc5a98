"""Datasets: fast reading, checks, and recording of demonstrations."""


def register() -> None:
    """Make LeRobot's training read datasets through the in-memory reader, unless it is switched off."""
    from lerobot_sdm.datasets import fast_loading

    fast_loading.register()
