"""Processor steps that LeRobot's pipelines can use: from the images of depth cameras to point clouds."""

POINT_CLOUD = "observation.point_cloud"
POINT_CLOUD_KEYS = (POINT_CLOUD, "observation.pointcloud")
"""Keys under which a dataset or an environment may hold the cloud; policies themselves only know the first."""
