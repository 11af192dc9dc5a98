"""Datasets: fast reading, checks, and recording of demonstrations."""


def register() -> None:
    """Make LeRobot's training read from memory, unless that is switched off, and resume in the right order."""
    from lerobot_sdm.datasets import fast_loading, resume_order

    fast_loading.register()
    resume_order.register()
