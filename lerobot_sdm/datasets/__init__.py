"""Datasets: fast reading, checks, and recording of demonstrations."""


def register() -> None:
    """Make LeRobot's commands read, edit and resume datasets as this package does."""
    from lerobot_sdm.datasets import checked_metadata, fast_loading, matrix_columns, resume_order

    checked_metadata.register()
    fast_loading.register()
    matrix_columns.register()
    resume_order.register()
