"""Datasets: fast reading, checks, and recording of demonstrations."""


def register() -> None:
    """Make LeRobot's training read from memory, unless that is switched off, and resume in the right order; and its
    tools edit columns of matrices."""
    from lerobot_sdm.datasets import fast_loading, matrix_columns, resume_order

    fast_loading.register()
    matrix_columns.register()
    resume_order.register()
