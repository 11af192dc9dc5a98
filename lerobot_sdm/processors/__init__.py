"""Processor steps for LeRobot's pipelines: convert depth images to clouds, and check and convert observations."""


def register() -> None:
    """Register the steps with LeRobot, which happens as their modules are imported."""
    from lerobot_sdm.processors import depth_step, imagined_robot, observation_step, point_cloud_step  # noqa: F401
